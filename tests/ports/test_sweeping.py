"""The contract of the sweeper's and the reconciler's queries: re-publishing, pruning, unfinished orders."""

from __future__ import annotations

import asyncio
from datetime import datetime

import psycopg
import pytest

from gofleet.adapters.postgres.drivers import PostgresDrivers
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.driver import Driver
from gofleet.domain.errors import MessageRefused
from gofleet.domain.events import DispatchRequested, from_json
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order
from gofleet.domain.principal import CLIENT, WORKER
from gofleet.ports import Holding
from tests.makers import an_order, dispatch_to, escalate
from tests.ports.stores import Store, store
from tests.ports.test_orders import a_receipt, to_ana

__all__ = ["store"]

AT_ONCE = -1.0
"""Seconds after which an order is re-published, for tests that do not depend on time."""
LATER = 3600.0


async def test_a_waiting_order_is_republished_with_a_new_event_id(store: Store) -> None:
    await store.kept("o-1")
    [created] = await store.published()

    assert await store.orders.republish_pending(AT_ONCE, 10) == ["o-1"]

    [again] = await store.published()
    event = from_json(again.body)
    assert event == DispatchRequested(
        order_id="o-1", sequence=1, epoch=1, event_id=event.event_id, occurred_at=event.occurred_at
    )
    assert isinstance(event.occurred_at, datetime)
    assert (again.type, again.sequence) == ("orders.dispatch_requested", 1)
    assert again.event_id == str(event.event_id) != created.event_id
    assert (await store.orders.get("o-1")).version == 1


async def test_an_order_is_republished_only_after_the_delay(store: Store) -> None:
    await store.kept("o-1")
    await store.published()

    assert await store.orders.republish_pending(LATER, 10) == []


async def test_an_order_with_an_unpublished_event_is_not_republished(store: Store) -> None:
    await store.kept("o-1")

    assert await store.orders.republish_pending(AT_ONCE, 10) == []
    await store.published()
    assert await store.orders.republish_pending(AT_ONCE, 10) == ["o-1"]
    assert await store.orders.republish_pending(AT_ONCE, 10) == []


async def test_only_waiting_orders_are_republished(store: Store) -> None:
    await store.kept("dispatched", to_ana)
    await store.kept("manual", escalate)
    await store.kept("cancelled", Order.cancel)
    await store.kept("delivered", dispatch_to("bia"), Order.deliver)
    await store.kept("waiting")
    await store.published()

    assert await store.orders.republish_pending(AT_ONCE, 10) == ["waiting"]


async def test_concurrent_sweepers_republish_an_order_once(clean_database: str) -> None:
    async with create_pool(clean_database, size=6, wait_seconds=5) as pool:
        orders = PostgresOrders(pool)
        for number in range(20):
            await orders.add(an_order(f"o-{number:02}"))
        _let_wait(clean_database, 15)

        rounds = await asyncio.gather(*(orders.republish_pending(10, 10) for _ in range(6)))

        assert sorted(order_id for each in rounds for order_id in each) == [f"o-{number:02}" for number in range(20)]


async def test_a_later_transition_is_published_after_the_republished_event(store: Store) -> None:
    await store.kept("o-1")
    await store.published()
    await store.orders.republish_pending(AT_ONCE, 10)
    order = await store.orders.get("o-1")
    order.cancel(by=CLIENT)
    await store.orders.save(order)

    assert [(message.type, message.sequence) for message in await store.published()] == [
        ("orders.dispatch_requested", 1),
        ("orders.cancelled", 2),
    ]


async def test_republishing_does_not_change_the_version(store: Store) -> None:
    """A worker that read the order before can still save it."""
    order = await store.kept("o-1")
    await store.published()
    await store.orders.republish_pending(AT_ONCE, 10)

    to_ana(order, by=WORKER)
    await store.orders.save(order, a_receipt())

    assert (await store.orders.get("o-1")).driver_id == "ana"


async def test_the_delay_doubles_and_starts_again_after_a_redispatch(clean_database: str) -> None:
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        orders = PostgresOrders(pool)
        await PostgresDrivers(pool).put(Driver("ana", "Ana"))
        await orders.add(an_order("o-1"))
        seen: list[float] = []
        for waited in (9, 11, 29, 31, 69, 71):
            _let_wait(clean_database, waited)
            if await orders.republish_pending(10, 10):
                seen.append(waited)
        assert seen == [11, 31, 71]

        order = await orders.get("o-1")
        to_ana(order, by=WORKER)
        await orders.save(order)
        order = await orders.get("o-1")
        order.redispatch(by=CLIENT)
        await orders.save(order)
        with psycopg.connect(clean_database, autocommit=True) as connection:
            connection.execute("update outbox set published_at = now()")
        assert await orders.republish_pending(AT_ONCE, 10) == ["o-1"]
        assert await orders.oldest_pending_seconds() < 60


async def test_published_events_are_pruned_in_time_and_no_others(store: Store) -> None:
    await store.kept("published", to_ana)
    await store.published()
    await store.kept("waiting")
    await store.kept("refused")
    async with store.outbox.claiming(10) as claim:
        refused = [message.order_id == "refused" for message in claim.messages]
        await claim.settle([MessageRefused("no queue") if each else None for each in refused])
    await store.kept("late")

    assert await store.outbox.prune(1, 100) == 0
    assert await store.outbox.prune(0, 2) == 2
    assert await store.outbox.prune(0, 100) == 1
    assert await store.outbox.prune(0, 100) == 0
    # The refused event is kept; memory offers it again at once, PostgreSQL after a pause.
    assert {message.order_id for message in await store.published()} - {"refused"} == {"late"}


async def test_receipts_are_pruned_in_time(store: Store) -> None:
    receipts = [a_receipt() for _ in range(3)]
    for receipt in receipts:
        await store.inbox.record(receipt, "dispatched")

    assert await store.inbox.prune(1, 100) == 0
    assert await store.inbox.prune(0, 2) == 2
    assert await store.inbox.prune(0, 100) == 1
    assert [await store.inbox.outcome(receipt) for receipt in receipts] == [None] * 3


@pytest.mark.parametrize("page", [1, 2, 10])
async def test_unfinished_orders_are_listed_once_with_their_drivers(store: Store, page: int) -> None:
    await store.kept("o-1", dispatch_to("ana"))
    await store.kept("o-2", dispatch_to("bia"), Order.redispatch, dispatch_to("eva"))
    await store.kept("o-3", dispatch_to("cai"), Order.deliver)
    await store.kept("o-4", dispatch_to("dan"))
    await store.kept("o-5")
    found: list[Holding] = []
    while some := await store.orders.live(found[-1] if found else None, page):
        found += some

    assert found == [Holding("ana", "o-1", 2), Holding("dan", "o-4", 2), Holding("eva", "o-2", 4)]


async def test_a_repeated_command_is_applied_once(store: Store) -> None:
    await store.kept("o-1")
    await store.published()
    await store.orders.republish_pending(AT_ONCE, 10)
    [command] = await store.published()
    receipt = Receipt("dispatch", command.event_id)

    order = await store.orders.get("o-1")
    to_ana(order, by=WORKER)
    await store.orders.save(order, receipt)

    assert await store.inbox.outcome(receipt) == "dispatched"


def _let_wait(conninfo: str, seconds: float) -> None:
    """Age all orders by these seconds, with all their events published."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("update outbox set published_at = now()")
        connection.execute("update orders set pending_since = now() - %s * interval '1 second'", (seconds,))
