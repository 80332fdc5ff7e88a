"""Manual dispatch and redispatch, in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gofleet.domain.driver import Driver
from gofleet.domain.errors import (
    DriverBusy,
    GoFleetError,
    InvalidTransition,
    OrderNotFound,
    UnknownDriver,
    VersionMismatch,
)
from gofleet.domain.messages import DISPATCH_QUEUE, QUEUES
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.principal import CLIENT, WORKER
from gofleet.testing.drivers import MemoryDrivers
from gofleet.testing.orders import MemoryOrders
from gofleet.usecases.transitions import CancelOrder, DeliverOrder, DispatchManually, RedispatchOrder
from tests.makers import an_order


@dataclass
class InMemory:
    """Orders and drivers in memory; ana and bia are registered."""

    orders: MemoryOrders = field(default_factory=MemoryOrders)

    def __post_init__(self) -> None:
        self.drivers = MemoryDrivers(self.orders)
        self.drivers.rows |= {name: Driver(name, name.title()) for name in ("ana", "bia")}

    @property
    def dispatch(self) -> DispatchManually:
        return DispatchManually(self.orders, self.drivers)

    async def has(self, order_id: str, status: Status) -> Order:
        """A stored order in `status`, saved transition by transition."""
        await self.orders.add(an_order(order_id))
        order = await self.orders.get(order_id)
        match status:
            case Status.PENDING:
                return order
            case Status.MANUAL_DISPATCH:
                order.send_to_manual(Reason.NO_DRIVER, by=WORKER)
            case Status.CANCELLED:
                order.cancel(by=CLIENT)
            case Status.DISPATCHED | Status.DELIVERED:
                order.dispatch("ana", by=WORKER)
        await self.orders.save(order)
        if status is Status.DELIVERED:
            order.deliver(by=CLIENT)
            await self.orders.save(order)
        return order

    def events(self) -> list[str]:
        return [row.message.type for row in self.orders.outbox]


@pytest.mark.parametrize("status", [Status.PENDING, Status.MANUAL_DISPATCH])
async def test_assigns_a_waiting_order(status: Status) -> None:
    memory = InMemory()
    seen = await memory.has("o-1", status)

    given = await memory.dispatch("o-1", "ana", frozenset({seen.version}), by=CLIENT)

    assert (given.status, given.driver_id, given.reason, given.version) == (
        Status.DISPATCHED,
        "ana",
        None,
        seen.version + 1,
    )
    assert memory.events()[-1] == "orders.dispatched"


async def test_a_repeated_assignment_is_idempotent_even_with_the_old_version() -> None:
    memory = InMemory()
    await memory.has("o-1", Status.MANUAL_DISPATCH)

    first, again = [await memory.dispatch("o-1", "ana", frozenset({2}), by=CLIENT) for _ in range(2)]

    assert (first.version, again.version, len(memory.events())) == (3, 3, 3)


async def test_refuses_an_outdated_version() -> None:
    memory = InMemory()
    await memory.has("o-1", Status.MANUAL_DISPATCH)

    with pytest.raises(VersionMismatch) as refused:
        await memory.dispatch("o-1", "ana", frozenset({1}), by=CLIENT)

    assert refused.value.version == 2
    assert memory.orders.rows["o-1"].status is Status.MANUAL_DISPATCH


async def test_one_of_two_concurrent_assignments_wins() -> None:
    memory = InMemory()
    await memory.has("o-1", Status.MANUAL_DISPATCH)

    ended = await asyncio.gather(
        *(memory.dispatch("o-1", name, frozenset({2}), by=CLIENT) for name in ("ana", "bia")), return_exceptions=True
    )

    assert sorted(type(end).__name__ for end in ended) == ["Order", "VersionMismatch"]
    assert len(memory.events()) == 3


@pytest.mark.parametrize(
    ("driver_id", "error"), [("unregistered", UnknownDriver), ("ana", DriverBusy)], ids=["unknown", "busy"]
)
async def test_assigns_only_a_free_registered_driver(driver_id: str, error: type[GoFleetError]) -> None:
    memory = InMemory()
    await memory.has("o-1", Status.DISPATCHED)
    await memory.has("o-2", Status.MANUAL_DISPATCH)

    with pytest.raises(error):
        await memory.dispatch("o-2", driver_id, None, by=CLIENT)

    assert memory.orders.rows["o-2"].status is Status.MANUAL_DISPATCH


@pytest.mark.parametrize("status", [Status.DISPATCHED, Status.DELIVERED, Status.CANCELLED])
async def test_refuses_an_order_that_does_not_wait(status: Status) -> None:
    memory = InMemory()
    seen = await memory.has("o-1", status)

    with pytest.raises(InvalidTransition):
        await memory.dispatch("o-1", "bia", frozenset({seen.version}), by=CLIENT)


@pytest.mark.parametrize("status", [Status.MANUAL_DISPATCH, Status.DISPATCHED])
async def test_a_redispatched_order_waits_again_and_is_published(status: Status) -> None:
    memory = InMemory()
    await memory.has("o-1", status)

    order = await RedispatchOrder(memory.orders)("o-1", frozenset({2}), by=CLIENT)

    assert (order.status, order.driver_id, order.reason, order.version) == (Status.PENDING, None, None, 3)
    assert memory.events()[-1] in QUEUES[DISPATCH_QUEUE]
    await memory.has("o-2", Status.PENDING)
    assert (await memory.dispatch("o-2", "ana", frozenset({1}), by=CLIENT)).driver_id == "ana"  # free again


async def test_redispatch_is_idempotent() -> None:
    memory = InMemory()
    await memory.has("o-1", Status.MANUAL_DISPATCH)

    first, again = [await RedispatchOrder(memory.orders)("o-1", frozenset({2}), by=CLIENT) for _ in range(2)]

    assert (first.version, again.version, len(memory.events())) == (3, 3, 3)


async def test_a_redispatch_excludes_the_driver_of_that_order_from_automatic_dispatch() -> None:
    memory = InMemory()
    await memory.has("o-1", Status.DISPATCHED)

    await RedispatchOrder(memory.orders, exclusion_seconds=600)("o-1", by=CLIENT)

    assert await memory.orders.excluded_drivers("o-1", 10) == ["ana"]
    assert (await memory.dispatch("o-1", "ana", frozenset({3}), by=CLIENT)).driver_id == "ana"  # manually


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.CANCELLED])
async def test_does_not_redispatch_a_final_order(status: Status) -> None:
    memory = InMemory()
    await memory.has("o-1", status)

    with pytest.raises(InvalidTransition):
        await RedispatchOrder(memory.orders)("o-1", by=CLIENT)
    with pytest.raises(OrderNotFound):
        await RedispatchOrder(memory.orders)("o-2", by=CLIENT)


@pytest.mark.parametrize("act", [CancelOrder, DeliverOrder, RedispatchOrder])
async def test_every_transition_checks_the_version(
    act: type[CancelOrder] | type[DeliverOrder] | type[RedispatchOrder],
) -> None:
    memory = InMemory()
    await memory.has("o-1", Status.DISPATCHED)

    with pytest.raises(VersionMismatch):
        await act(memory.orders)("o-1", frozenset({1}), by=CLIENT)

    assert (await act(memory.orders)("o-1", frozenset({1, 2}), by=CLIENT)).version == 3
