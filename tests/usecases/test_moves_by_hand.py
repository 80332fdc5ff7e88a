"""Dispatching by hand and redispatching, in memory."""

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
class Desk:
    """Where a person sits; ana and bia have records."""

    orders: MemoryOrders = field(default_factory=MemoryOrders)
    drivers: MemoryDrivers = field(
        default_factory=lambda: MemoryDrivers({name: Driver(name, name.title()) for name in ("ana", "bia")})
    )

    @property
    def give(self) -> DispatchManually:
        return DispatchManually(self.orders, self.drivers)

    async def has(self, order_id: str, status: Status) -> Order:
        """An order, kept move by move; what the desk sees of it."""
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

    def news(self) -> list[str]:
        return [row.message.type for row in self.orders.outbox]


@pytest.mark.parametrize("status", [Status.PENDING, Status.MANUAL_DISPATCH])
async def test_what_waits_can_be_given_to_a_driver(status: Status) -> None:
    desk = Desk()
    seen = await desk.has("o-1", status)

    given = await desk.give("o-1", "ana", frozenset({seen.version}), by=CLIENT)

    assert (given.status, given.driver_id, given.reason, given.version) == (
        Status.DISPATCHED,
        "ana",
        None,
        seen.version + 1,
    )
    assert desk.news()[-1] == "orders.dispatched"


async def test_giving_twice_is_giving_once_even_with_the_old_tag() -> None:
    desk = Desk()
    await desk.has("o-1", Status.MANUAL_DISPATCH)

    first, again = [await desk.give("o-1", "ana", frozenset({2}), by=CLIENT) for _ in range(2)]

    assert (first.version, again.version, len(desk.news())) == (3, 3, 3)


async def test_who_saw_an_older_version_gives_nothing() -> None:
    desk = Desk()
    await desk.has("o-1", Status.MANUAL_DISPATCH)

    with pytest.raises(VersionMismatch) as refused:
        await desk.give("o-1", "ana", frozenset({1}), by=CLIENT)

    assert refused.value.version == 2
    assert desk.orders.rows["o-1"].status is Status.MANUAL_DISPATCH


async def test_of_two_people_who_saw_the_same_one_gives_the_order_away() -> None:
    desk = Desk()
    await desk.has("o-1", Status.MANUAL_DISPATCH)

    ended = await asyncio.gather(
        *(desk.give("o-1", name, frozenset({2}), by=CLIENT) for name in ("ana", "bia")), return_exceptions=True
    )

    assert sorted(type(end).__name__ for end in ended) == ["Order", "VersionMismatch"]
    assert len(desk.news()) == 3


@pytest.mark.parametrize(
    ("driver_id", "refusal"), [("nobody", UnknownDriver), ("ana", DriverBusy)], ids=["unknown", "busy"]
)
async def test_only_a_free_driver_with_a_record_is_given_an_order(driver_id: str, refusal: type[GoFleetError]) -> None:
    desk = Desk()
    await desk.has("o-1", Status.DISPATCHED)
    await desk.has("o-2", Status.MANUAL_DISPATCH)

    with pytest.raises(refusal):
        await desk.give("o-2", driver_id, None, by=CLIENT)

    assert desk.orders.rows["o-2"].status is Status.MANUAL_DISPATCH


@pytest.mark.parametrize("status", [Status.DISPATCHED, Status.DELIVERED, Status.CANCELLED])
async def test_what_does_not_wait_cannot_be_given_away(status: Status) -> None:
    desk = Desk()
    seen = await desk.has("o-1", status)

    with pytest.raises(InvalidTransition):
        await desk.give("o-1", "bia", frozenset({seen.version}), by=CLIENT)


@pytest.mark.parametrize("status", [Status.MANUAL_DISPATCH, Status.DISPATCHED])
async def test_a_redispatched_order_waits_again_and_the_workers_hear_of_it(status: Status) -> None:
    desk = Desk()
    await desk.has("o-1", status)

    order = await RedispatchOrder(desk.orders)("o-1", frozenset({2}), by=CLIENT)

    assert (order.status, order.driver_id, order.reason, order.version) == (Status.PENDING, None, None, 3)
    assert desk.news()[-1] in QUEUES[DISPATCH_QUEUE]
    await desk.has("o-2", Status.PENDING)
    assert (await desk.give("o-2", "ana", frozenset({1}), by=CLIENT)).driver_id == "ana"  # she is free again


async def test_redispatching_twice_is_redispatching_once() -> None:
    desk = Desk()
    await desk.has("o-1", Status.MANUAL_DISPATCH)

    first, again = [await RedispatchOrder(desk.orders)("o-1", frozenset({2}), by=CLIENT) for _ in range(2)]

    assert (first.version, again.version, len(desk.news())) == (3, 3, 3)


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.CANCELLED])
async def test_what_has_ended_is_not_redispatched(status: Status) -> None:
    desk = Desk()
    await desk.has("o-1", status)

    with pytest.raises(InvalidTransition):
        await RedispatchOrder(desk.orders)("o-1", by=CLIENT)
    with pytest.raises(OrderNotFound):
        await RedispatchOrder(desk.orders)("o-2", by=CLIENT)


@pytest.mark.parametrize("act", [CancelOrder, DeliverOrder, RedispatchOrder])
async def test_every_verb_can_be_told_which_version_is_meant(
    act: type[CancelOrder] | type[DeliverOrder] | type[RedispatchOrder],
) -> None:
    desk = Desk()
    await desk.has("o-1", Status.DISPATCHED)

    with pytest.raises(VersionMismatch):
        await act(desk.orders)("o-1", frozenset({1}), by=CLIENT)

    assert (await act(desk.orders)("o-1", frozenset({1, 2}), by=CLIENT)).version == 3
