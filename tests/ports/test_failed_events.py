"""The contract of `FailedEvents`, in memory and in PostgreSQL: listing and retrying events that the broker refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
from psycopg import AsyncConnection

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresFailedEvents, PostgresOutbox
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.errors import CountMismatch, MessageRefused
from gofleet.domain.principal import CLIENT
from gofleet.ports import FailedEvents, Orders, Outbox
from gofleet.testing.orders import MemoryOrders
from gofleet.testing.outbox import MemoryFailedEvents, MemoryOutbox
from tests.databases import waits_for_a_lock
from tests.makers import an_order
from tests.waiting import eventually


@dataclass
class Store:
    orders: Orders
    outbox: Outbox
    failed: FailedEvents

    async def cancelled(self, *order_ids: str) -> None:
        """Orders with two events each."""
        for order_id in order_ids:
            await self.orders.add(an_order(order_id))
            order = await self.orders.get(order_id)
            order.cancel(by=CLIENT)
            await self.orders.save(order)

    async def relay(self, *refused: str) -> list[tuple[str, int]]:
        """Publish the due events, of which the broker refuses those of these orders; the published ones."""
        async with self.outbox.claiming(100) as claim:
            answers = [MessageRefused("no queue") if one.order_id in refused else None for one in claim.messages]
            await claim.settle(answers)
            return [(one.order_id, one.sequence) for one in claim.messages if one.order_id not in refused]


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncGenerator[Store]:
    """Stores in which one refused attempt makes a failed event."""
    if request.param == "memory":
        orders = MemoryOrders()
        yield Store(orders, MemoryOutbox(orders, max_attempts=1), MemoryFailedEvents(orders))
        return
    async with create_pool(request.getfixturevalue("clean_database"), size=4, wait_seconds=5) as pool:
        yield Store(PostgresOrders(pool), PostgresOutbox(pool, max_attempts=1), PostgresFailedEvents(pool))


async def test_a_failed_event_is_listed_with_the_events_it_holds_back_and_blocks_no_other_order(store: Store) -> None:
    await store.cancelled("o-1", "o-2")

    assert await store.relay("o-1") == [("o-2", 1)]
    assert await store.relay() == [("o-2", 2)]

    [event] = await store.failed.list(None, 10)
    assert (event.order_id, event.sequence, event.type, event.held_back) == ("o-1", 1, "orders.created", 1)
    assert (event.attempts, event.error) == (1, "no queue")
    assert event.failed_at >= event.created_at
    assert await store.failed.count() == 1


async def test_a_retried_event_is_published_before_those_it_held_back(store: Store) -> None:
    await store.cancelled("o-1")
    await store.relay("o-1")
    assert await store.relay() == []

    await store.failed.retry(1)

    assert await store.failed.count() == 0
    assert [await store.relay(), await store.relay()] == [[("o-1", 1)], [("o-1", 2)]]


async def test_a_retried_event_may_fail_again(store: Store) -> None:
    await store.cancelled("o-1")
    for _ in range(2):
        await store.relay("o-1")
        [event] = await store.failed.list(None, 10)
        assert event.attempts == 1
        await store.failed.retry(1)


async def test_all_are_retried_or_none(store: Store) -> None:
    await store.cancelled("o-1", "o-2")
    await store.relay("o-1", "o-2")

    for expected in (0, 1, 3):
        with pytest.raises(CountMismatch) as refused:
            await store.failed.retry(expected)
        assert refused.value.actual == 2
    assert await store.relay() == []
    ended = await asyncio.gather(store.failed.retry(2), store.failed.retry(2), return_exceptions=True)

    assert sorted(type(end).__name__ for end in ended) == ["CountMismatch", "NoneType"]
    assert len(await store.relay()) == 2


async def test_pages_hold_every_failed_event_once_newest_first(store: Store) -> None:
    names = [f"o-{n}" for n in range(5)]
    await store.cancelled(*names)
    await store.relay(*names)
    seen: list[str] = []
    before: int | None = None

    while page := await store.failed.list(before, 2):
        seen += [event.order_id for event in page]
        before = page[-1].id

    assert seen == list(reversed(names))


async def test_events_retried_concurrently_are_counted_once(clean_database: str) -> None:
    async with (
        create_pool(clean_database, size=4, wait_seconds=5) as pool,
        await AsyncConnection.connect(clean_database) as rival,
    ):
        store = Store(PostgresOrders(pool), PostgresOutbox(pool, max_attempts=1), PostgresFailedEvents(pool))
        await store.cancelled("o-1", "o-2")
        await store.relay("o-1", "o-2")
        await rival.execute("update outbox set failed_at = null, published_at = now() where aggregate_id = 'o-1'")
        asking = asyncio.create_task(store.failed.retry(2))
        await eventually(lambda: waits_for_a_lock(pool))
        await rival.commit()

        with pytest.raises(CountMismatch) as refused:
            await asking
        assert refused.value.actual == 1
