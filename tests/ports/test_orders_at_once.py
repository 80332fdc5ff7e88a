"""Orders written at the same time: batched in one statement, each with its own result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.errors import AlreadyHandled, DriverBusy, StaleOrder
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Status
from gofleet.domain.principal import WORKER
from tests.databases import register
from tests.makers import an_order
from tests.ports.stores import Store, store
from tests.waiting import eventually

__all__ = ["store"]
Outcome = bool | BaseException | None


@pytest.fixture
async def orders(clean_database: str) -> AsyncGenerator[PostgresOrders]:
    async with create_pool(clean_database, size=8, wait_seconds=5) as pool:
        await register(pool, "d-late", "d-1", "d-2", *(f"d-o-{number}" for number in range(4)))
        await register(pool, *(f"d-o-{number:02}" for number in range(40)))
        yield PostgresOrders(pool)


async def kept(store: Store, *ids: str) -> list[Order]:
    assert all(await asyncio.gather(*(store.orders.add(an_order(id)) for id in ids)))
    return list(await asyncio.gather(*(store.orders.get(id) for id in ids)))


def a_receipt() -> Receipt:
    return Receipt("dispatch", str(uuid4()))


def dispatched(order: Order, driver_id: str) -> Order:
    order.dispatch(driver_id, by=WORKER)
    return order


async def all_of(*saving: Coroutine[None, None, bool | None]) -> Sequence[Outcome]:
    return await asyncio.gather(*saving, return_exceptions=True)


def kinds(outcomes: Sequence[Outcome]) -> list[type | None]:
    return [None if outcome is None else type(outcome) for outcome in outcomes]


async def test_orders_of_a_batch_are_saved_each_with_its_event(store: Store) -> None:
    prices = {f"o-{number:03}": Decimal(number + 1) / 100 for number in range(150)}

    added = await asyncio.gather(*(store.orders.add(an_order(id, price=str(of))) for id, of in prices.items()))

    assert all(added)
    read = await asyncio.gather(*(store.orders.get(id) for id in prices))
    assert {order.id: order.price for order in read} == prices
    assert sorted(message.order_id for message in await store.published()) == sorted(prices)


async def test_an_existing_id_fails_only_its_own_caller(store: Store) -> None:
    await store.orders.add(an_order("o-5", price="1"))

    added = await asyncio.gather(*(store.orders.add(an_order(f"o-{number}")) for number in range(10)))

    assert [number for number, was in enumerate(added) if not was] == [5]
    assert (await store.orders.get("o-5")).price == 1
    assert len(await store.published()) == 10


async def test_each_transition_of_a_batch_has_its_own_result(store: Store) -> None:
    names = ("moved", "stale", "busy", "done", "at-work", "given-away")
    moved, stale, busy, done, at_work, given_away = await kept(store, *names)
    await store.orders.save(dispatched(at_work, "carla"))
    other = await store.orders.get("stale")
    await store.orders.save(dispatched(other, "dora"))
    before = a_receipt()
    await store.inbox.record(before, "skipped")
    await store.published()

    outcomes = await all_of(
        store.orders.save(dispatched(moved, "ana"), a_receipt()),
        store.orders.save(dispatched(stale, "bia"), a_receipt()),
        store.orders.save(dispatched(busy, "carla"), a_receipt()),
        store.orders.save(dispatched(done, "eva"), before),
        store.orders.save(dispatched(given_away, "ghost"), a_receipt()),
    )

    assert kinds(outcomes) == [None, StaleOrder, DriverBusy, AlreadyHandled, DriverBusy]
    assert [message.order_id for message in await store.published()] == ["moved"]
    assert [(await store.orders.get(id)).status for id in ("moved", "busy", "done")] == [
        Status.DISPATCHED,
        Status.PENDING,
        Status.PENDING,
    ]


async def test_of_many_concurrent_orders_one_gets_the_driver(store: Store) -> None:
    waiting = await kept(store, *(f"o-{number}" for number in range(10)))

    outcomes = await all_of(*(store.orders.save(dispatched(order, "ana"), a_receipt()) for order in waiting))

    assert sorted(map(str, kinds(outcomes))) == sorted(map(str, [None, *[DriverBusy] * 9]))
    statuses = [(await store.orders.get(order.id)).status for order in waiting]
    assert statuses.count(Status.DISPATCHED) == 1


async def test_of_many_transitions_of_the_same_version_one_is_saved(store: Store) -> None:
    await kept(store, "o-1")
    readers = [await store.orders.get("o-1") for _ in range(10)]
    givings = (dispatched(order, f"driver-{number}") for number, order in enumerate(readers))

    outcomes = await all_of(*(store.orders.save(order, a_receipt()) for order in givings))

    assert sorted(map(str, kinds(outcomes))) == sorted(map(str, [None, *[StaleOrder] * 9]))
    assert (await store.orders.get("o-1")).version == 2


async def test_a_refused_transition_leaves_no_receipt(store: Store) -> None:
    """Otherwise the message's next delivery would find its event applied."""
    stale, busy, at_work, moved = await kept(store, "stale", "busy", "at-work", "moved")
    await store.orders.save(dispatched(at_work, "ana"))
    await store.orders.save(dispatched(await store.orders.get("stale"), "bia"))
    receipts = [a_receipt() for _ in range(3)]

    await all_of(
        store.orders.save(dispatched(stale, "carla"), receipts[0]),
        store.orders.save(dispatched(busy, "ana"), receipts[1]),
        store.orders.save(dispatched(moved, "dora"), receipts[2]),
    )

    assert [await store.inbox.outcome(receipt) for receipt in receipts] == [None, None, "dispatched"]


async def test_a_batch_is_one_commit(orders: PostgresOrders, clean_database: str) -> None:
    await asyncio.gather(*(orders.add(an_order(f"o-{number:02}")) for number in range(40)))
    read = await asyncio.gather(*(orders.get(f"o-{number:02}") for number in range(40)))
    await asyncio.gather(*(orders.save(dispatched(order, f"d-{order.id}"), a_receipt()) for order in read))

    with psycopg.connect(clean_database) as connection:
        commits = dict(
            connection.execute("select became, count(distinct txid) from order_log group by became").fetchall()
        )
    assert commits == {"PENDING": 1, "DISPATCHED": 1}


async def test_a_row_refused_by_the_database_fails_only_its_own_caller(
    orders: PostgresOrders, clean_database: str
) -> None:
    """Values that the domain refuses already."""
    impossible = an_order("bad")
    impossible.final_price += 1

    outcomes = await all_of(*(orders.add(order) for order in (an_order("o-1"), impossible, an_order("o-2"))))

    assert [outcomes[0], outcomes[2]] == [True, True]
    assert isinstance(outcomes[1], psycopg.errors.CheckViolation)
    with psycopg.connect(clean_database) as connection:
        assert connection.execute("select aggregate_id from outbox order by 1").fetchall() == [("o-1",), ("o-2",)]


async def test_a_locked_row_delays_only_its_own_caller(orders: PostgresOrders, clean_database: str) -> None:
    for number in range(4):
        await orders.add(an_order(f"o-{number}"))
    read = [await orders.get(f"o-{number}") for number in range(4)]
    with psycopg.connect(clean_database) as locker:
        locker.execute("select from orders where id = 'o-2' for update")
        saving = [asyncio.create_task(orders.save(dispatched(order, f"d-{order.id}"), a_receipt())) for order in read]
        await eventually(
            lambda: [one.done() for one in saving] == [True, True, False, True], within=3
        )  # less than their lock_timeout
        assert kinds([saving[at].exception() for at in (0, 1, 3)]) == [None, None, None]

        await orders.save(dispatched(await late(orders), "d-late"), a_receipt())
        assert not saving[2].done()
    await saving[2]
    assert (await orders.get("o-2")).driver_id == "d-o-2"


async def late(orders: PostgresOrders) -> Order:
    await orders.add(an_order("o-late"))
    return await orders.get("o-late")


async def test_a_deadlock_over_drivers_fails_no_caller(orders: PostgresOrders, clean_database: str) -> None:
    """Our statement waits for a driver that another transaction assigned, and that one for a driver of ours."""
    for id in ("o-1", "o-2", "theirs-1", "theirs-2"):
        await orders.add(an_order(id))
    read = [await orders.get("o-1"), await orders.get("o-2")]
    give = "update orders set status = 'DISPATCHED', driver_id = %s, version = 2 where id = %s"
    async with await AsyncConnection.connect(clean_database) as theirs:
        await theirs.execute(give, ["d-2", "theirs-1"])
        saving = [
            asyncio.create_task(orders.save(dispatched(order, driver_id), a_receipt()))
            for order, driver_id in zip(read, ("d-1", "d-2"), strict=True)
        ]
        with psycopg.connect(clean_database, autocommit=True) as watcher:
            await eventually(lambda: bool(watcher.execute("select from pg_locks where not granted").fetchall()))
        await theirs.execute(give, ["d-1", "theirs-2"])  # PostgreSQL ends the statement that has waited for longer
        await theirs.rollback()

    assert await asyncio.gather(*saving) == [None, None]
