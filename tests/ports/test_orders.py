"""The contract of `Orders` with its outbox and inbox, in memory and in PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import msgspec
import psycopg
import pytest

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.domain.driver import Driver
from gofleet.domain.errors import AlreadyHandled, DriverBusy, MessageRefused, OrderNotFound, StaleOrder, Unavailable
from gofleet.domain.events import OrderCreated, from_json
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, OrderFilter, Reason, Status
from gofleet.domain.order_data import Item
from gofleet.domain.place import Place
from gofleet.domain.principal import CLIENT, WORKER
from gofleet.telemetry.metrics import DISPATCH_SECONDS
from tests.makers import an_order, dispatch_to
from tests.ports.stores import Store, store

__all__ = ["store"]


to_ana = dispatch_to("ana")


def a_receipt() -> Receipt:
    return Receipt("dispatch", str(uuid4()))


async def test_an_order_is_read_as_saved(store: Store) -> None:
    order = Order.create(
        "o-1",
        Decimal("10.10"),
        Decimal("0.05"),
        by=CLIENT,
        pickup=Place(-23.5505, -46.6333),
        dropoff=Place(-23.561, 0.1 + 0.2),
        customer_id="ana",
        client_order_id="shop-1",
        reference="A-1001",
        items=[Item("Pizza Margherita", 2), Item("Água", 1)],
        metadata={"shop": "centro", "note": "a\nb"},
    )
    assert None not in order.creation_fields().values()  # a new field must be given here
    assert await store.orders.add(order)

    read = await store.orders.get("o-1")

    assert read.final_price == Decimal("10.15")
    assert read.creation_fields() == order.creation_fields()
    assert (read.status, read.version, read.driver_id) == (Status.PENDING, 1, None)
    assert read.created_at == order.created_at
    assert read.waited_seconds() >= 0


async def test_an_announced_order_is_saved_as_one_that_was_read(store: Store) -> None:
    """With its times, by which the time to dispatch is measured."""
    order = an_order("o-1", customer_id="ana")
    (event,) = order.pending_events
    assert isinstance(event, OrderCreated)
    await store.orders.add(order)
    announced, dispatches = Order.announced(event), _dispatches_measured()

    announced.dispatch("ana", by=WORKER)
    await store.orders.save(announced, a_receipt())

    stored = await store.orders.get("o-1")
    assert stored.creation_fields() == order.creation_fields()
    assert (stored.created_at, stored.pending_since) == (order.created_at, order.pending_since)
    assert (announced.created_at, announced.pending_since) == (order.created_at, order.pending_since)
    if isinstance(store.orders, PostgresOrders):
        assert _dispatches_measured() == dispatches + 1


def _dispatches_measured() -> float:
    (metric,) = DISPATCH_SECONDS.collect()
    return next(sample.value for sample in metric.samples if sample.name.endswith("_count"))


async def test_data_that_was_not_sent_is_not_in_the_event(store: Store) -> None:
    await store.orders.add(an_order("o-1"))
    await store.orders.add(an_order("o-2", reference="A-1001", items=[Item("Pizza", 2)], metadata={"shop": "centro"}))

    without, sent = [msgspec.json.decode(message.body) for message in await store.published()]

    assert sent.keys() - without.keys() == {"reference", "metadata"}
    assert (sent["reference"], sent["metadata"]) == ("A-1001", {"shop": "centro"})
    stored = await store.orders.get("o-1")
    assert (stored.reference, stored.items, stored.metadata) == (None, None, None)


async def test_lists_the_orders_of_a_reference(store: Store) -> None:
    for order_id, reference in {"o-1": "A", "o-2": "B", "o-3": "A", "o-4": None}.items():
        await store.orders.add(an_order(order_id, reference=reference))

    assert [order.id for order in await store.orders.list(OrderFilter(reference="A"), 10)] == ["o-3", "o-1"]
    assert await store.orders.list(OrderFilter(reference="a"), 10) == []


async def test_an_unknown_order_is_not_found(store: Store) -> None:
    with pytest.raises(OrderNotFound):
        await store.orders.get("o-1")


async def test_an_id_is_created_once_and_the_loser_changes_nothing(store: Store) -> None:
    added = await asyncio.gather(*(store.orders.add(an_order("o-1", price=str(price))) for price in range(1, 11)))

    assert added.count(True) == 1
    assert len(await store.published()) == 1


async def test_an_order_and_its_event_are_saved_together(store: Store) -> None:
    await store.orders.add(an_order("o-1"))

    (message,) = await store.published()

    assert (message.type, message.order_id, message.sequence) == ("orders.created", "o-1", 1)
    event = from_json(message.body)
    assert (event.order_id, event.sequence, str(event.event_id)) == ("o-1", 1, message.event_id)


async def test_an_event_has_the_time_of_its_transaction(store: Store) -> None:
    order = await store.kept("o-1", to_ana)

    created, dispatched = [from_json(message.body).occurred_at for message in await store.published()]

    assert isinstance(created, datetime)
    assert isinstance(dispatched, datetime)
    assert order.created_at is not None
    assert abs(created - order.created_at) < timedelta(seconds=1)
    assert created <= dispatched <= datetime.now(UTC) + timedelta(seconds=1)


async def test_every_transition_has_one_event_in_order(store: Store) -> None:
    await store.kept("o-1", to_ana, Order.deliver)

    messages = await store.published()

    assert [m.type for m in messages] == ["orders.created", "orders.dispatched", "orders.delivered"]
    assert [m.sequence for m in messages] == [1, 2, 3]


async def test_of_two_concurrent_transitions_one_is_saved(store: Store) -> None:
    await store.orders.add(an_order("o-1"))
    rivals = [await store.orders.get("o-1") for _ in range(5)]
    for number, rival in enumerate(rivals):
        rival.dispatch(f"driver-{number}", by=WORKER)

    outcomes = await asyncio.gather(*(store.orders.save(rival) for rival in rivals), return_exceptions=True)

    assert [type(o) for o in outcomes].count(StaleOrder) == 4
    assert len(await store.published()) == 2


async def test_a_cancelled_order_is_not_overwritten_by_an_older_read(store: Store) -> None:
    await store.orders.add(an_order("o-1"))
    late = await store.orders.get("o-1")
    quick = await store.orders.get("o-1")
    quick.cancel(by=CLIENT)
    await store.orders.save(quick)
    late.dispatch("ana", by=WORKER)

    with pytest.raises(StaleOrder):
        await store.orders.save(late)

    assert (await store.orders.get("o-1")).status is Status.CANCELLED


async def test_a_driver_has_one_unfinished_order(store: Store) -> None:
    await store.kept("o-1", to_ana)
    await store.orders.add(an_order("o-2"))
    second = await store.orders.get("o-2")
    second.dispatch("ana", by=WORKER)

    with pytest.raises(DriverBusy):
        await store.orders.save(second, a_receipt())

    assert (await store.orders.get("o-2")).status is Status.PENDING


@pytest.mark.parametrize("with_receipt", [False, True])
async def test_an_order_goes_to_registered_drivers_only(store: Store, with_receipt: bool) -> None:
    order = await store.kept("o-1")
    order.dispatch("ghost", by=WORKER)
    receipt = a_receipt() if with_receipt else None

    with pytest.raises(DriverBusy):
        await store.orders.save(order, receipt)

    read = await store.orders.get("o-1")
    assert (read.status, read.version) == (Status.PENDING, 1)
    assert len(await store.published()) == 1
    if receipt:
        assert await store.inbox.outcome(receipt) is None
    await store.drivers.put(Driver("ghost", "Ghost"))
    read.dispatch("ghost", by=WORKER)
    await store.orders.save(read, receipt)


async def test_a_driver_that_delivered_can_get_the_next_order(store: Store) -> None:
    await store.kept("o-1", to_ana, Order.deliver)
    await store.kept("o-2", to_ana)

    assert (await store.orders.get("o-2")).driver_id == "ana"


async def test_a_receipt_is_saved_with_its_transition_or_not_at_all(store: Store) -> None:
    await store.orders.add(an_order("o-1"))
    stale, order, receipt = await store.orders.get("o-1"), await store.orders.get("o-1"), a_receipt()
    order.dispatch("ana", by=WORKER)
    await store.orders.save(order)
    stale.cancel(by=CLIENT)

    with pytest.raises(StaleOrder):
        await store.orders.save(stale, receipt)

    assert await store.inbox.outcome(receipt) is None


async def test_an_event_is_applied_once(store: Store) -> None:
    receipt = a_receipt()
    await store.orders.add(an_order("o-1"))
    order = await store.orders.get("o-1")
    order.send_to_manual(Reason.NO_DRIVER, by=WORKER)
    await store.orders.save(order, receipt)
    again = await store.orders.get("o-1")
    again.dispatch("ana", by=WORKER)

    with pytest.raises(AlreadyHandled):
        await store.orders.save(again, receipt)

    assert (await store.orders.get("o-1")).status is Status.MANUAL_DISPATCH
    assert await store.inbox.outcome(receipt) == "manual_dispatch"


async def test_the_inbox_keeps_the_first_outcome(store: Store) -> None:
    receipt = a_receipt()

    await store.inbox.record(receipt, "skipped:cancelled")
    await store.inbox.record(receipt, "skipped:delivered")

    assert await store.inbox.outcome(receipt) == "skipped:cancelled"


async def test_a_redispatched_order_waits_again_without_its_driver(store: Store) -> None:
    await store.kept("o-1", to_ana)
    order = await store.orders.get("o-1")
    order.redispatch(by=CLIENT)
    await store.orders.save(order)

    read = await store.orders.get("o-1")

    assert (read.status, read.driver_id, read.dispatched_at, read.version) == (Status.PENDING, None, None, 3)
    assert read.pending_since is not None
    assert read.created_at is not None
    assert read.pending_since > read.created_at


async def test_pages_hold_every_order_once_newest_first(store: Store) -> None:
    for number in range(7):
        await store.orders.add(an_order(f"o-{number}"))
    seen: list[str] = []
    which = OrderFilter()

    while page := await store.orders.list(which, 3):
        seen += [order.id for order in page]
        assert page[-1].created_at is not None
        which = replace(which, before=(page[-1].created_at, page[-1].id))

    assert seen == [f"o-{number}" for number in reversed(range(7))]


async def test_lists_are_filtered(store: Store) -> None:
    await store.kept("o-1", to_ana)
    await store.kept("o-2", Order.cancel)
    third = await store.kept("o-3")
    assert third.created_at is not None

    assert [o.id for o in await store.orders.list(OrderFilter(status=Status.PENDING), 10)] == ["o-3"]
    assert [o.id for o in await store.orders.list(OrderFilter(driver_id="ana"), 10)] == ["o-1"]
    assert await store.orders.list(OrderFilter(created_after=third.created_at), 10) == []


async def test_overdue_orders_are_listed_oldest_first(store: Store) -> None:
    await store.kept("o-1", to_ana)
    await store.kept("o-2")
    await store.kept("o-3")

    assert [order.id for order in await store.orders.overdue(0, 10)] == ["o-2", "o-3"]
    assert [order.id for order in await store.orders.overdue(0, 1)] == ["o-2"]
    assert list(await store.orders.overdue(60, 10)) == []


async def test_concurrent_claims_share_no_event_and_keep_the_order(store: Store) -> None:
    for number in range(4):
        await store.kept(f"o-{number}", Order.cancel)

    async with store.outbox.claiming(2) as first, store.outbox.claiming(100) as second:
        claimed = [(m.order_id, m.sequence) for claim in (first, second) for m in claim.messages]

    assert sorted(claimed) == [(f"o-{number}", 1) for number in range(4)]


async def test_a_later_event_waits_until_the_earlier_one_is_published(store: Store) -> None:
    await store.kept("o-1", to_ana, Order.deliver)

    async with store.outbox.claiming(100) as claim:
        assert [m.sequence for m in claim.messages] == [1]
        await claim.settle([Unavailable("broker", "away")])
    async with store.outbox.claiming(100) as claim:
        assert [m.sequence for m in claim.messages] == [1]
        await claim.settle([None])
    async with store.outbox.claiming(100) as claim:
        assert [m.sequence for m in claim.messages] == [2]


async def test_the_claim_of_a_killed_relay_is_released(store: Store) -> None:
    await store.orders.add(an_order("o-1"))

    with pytest.raises(ConnectionResetError):
        async with store.outbox.claiming(100) as claim:
            await claim.settle([None])
            raise ConnectionResetError

    if isinstance(store.orders, PostgresOrders):  # memory has no transaction to roll back
        assert len(await store.published()) == 1


async def test_a_refused_event_is_retried_later_and_blocks_no_other_order(store: Store) -> None:
    await store.orders.add(an_order("o-1"))
    await store.orders.add(an_order("o-2"))

    async with store.outbox.claiming(100) as claim:
        answers = [MessageRefused("no queue") if m.order_id == "o-1" else None for m in claim.messages]
        await claim.settle(answers)

    assert "o-2" not in [m.order_id for m in await store.published()]


def test_the_database_refuses_amounts_that_are_not_numbers(clean_database: str) -> None:
    insert = "insert into orders (id, price, tax, final_price) values ('o-1', 'NaN', 0, 'NaN')"
    with (
        psycopg.connect(clean_database) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match="orders_finite"),
    ):
        connection.execute(insert)
