"""The contract of `History`, in memory and in PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from gofleet.adapters.postgres.history import HISTORY, PostgresHistory
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.errors import OrderNotFound, UnknownCursor
from gofleet.domain.history import ChangeKind, HistoryCursor, HistoryEntry, HistoryFilter, change_kind
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.principal import CLIENT, SWEEPER, WORKER
from gofleet.ports import History
from gofleet.telemetry.exporting import exporting
from gofleet.telemetry.tracing import current_trace_id, span
from tests.databases import register
from tests.makers import an_order, dispatch_to, escalate
from tests.ports.stores import Store, store

__all__ = ["store"]

ANYTHING = HistoryFilter()
BEGINNING = HistoryCursor(0, 0)
INSERT = "insert into orders (id, price, tax, final_price) values (%s, 1, 0, 1)"


async def everything(
    history: History, cursor: HistoryCursor = BEGINNING, which: HistoryFilter = ANYTHING, page: int = 3
) -> list[HistoryEntry]:
    """All entries after `cursor`, page by page."""
    found: list[HistoryEntry] = []
    while True:
        read = await history.after(cursor, which, page)
        found += read.entries
        assert read.until >= cursor
        cursor = read.until
        if not read.more:
            return found


def described(entries: list[HistoryEntry]) -> list[str]:
    return [f"{entry.order_id} {entry.kind.value.removeprefix('orders.')}" for entry in entries]


async def test_a_timeline_has_transitions_actors_and_reasons(store: Store) -> None:
    await store.orders.add(an_order("o-1"))
    order = await store.orders.get("o-1")
    order.send_to_manual(Reason.DEADLINE, by=SWEEPER)
    await store.orders.save(order)
    order = await store.orders.get("o-1")
    order.dispatch("ana", by="maria@example.org")
    await store.orders.save(order)
    order = await store.orders.get("o-1")
    order.redispatch(by=CLIENT)
    await store.orders.save(order)

    timeline = await store.history.of("o-1", 10)

    assert [(e.sequence, e.kind, e.status, e.driver_id, e.reason, e.actor) for e in timeline] == [
        (1, ChangeKind.CREATED, Status.PENDING, None, None, CLIENT),
        (2, ChangeKind.MANUAL_DISPATCH, Status.MANUAL_DISPATCH, None, Reason.DEADLINE, SWEEPER),
        (3, ChangeKind.DISPATCHED, Status.DISPATCHED, "ana", None, "maria@example.org"),
        (4, ChangeKind.REDISPATCHED, Status.PENDING, None, None, CLIENT),
    ]
    assert all(abs(datetime.now(UTC) - entry.at) < timedelta(minutes=1) for entry in timeline)
    assert [entry.order_id for entry in timeline] == ["o-1"] * 4
    assert [e.sequence for e in await store.history.of("o-1", 2)] == [1, 2]


async def test_every_kind_of_transition_has_a_name(store: Store) -> None:
    await store.kept("o-1", dispatch_to("ana"), Order.deliver)
    await store.kept("o-2", escalate, Order.cancel)

    assert described(await everything(store.history)) == [
        "o-1 created",
        "o-1 dispatched",
        "o-1 delivered",
        "o-2 created",
        "o-2 manual_dispatch",
        "o-2 cancelled",
    ]
    assert [entry.reason for entry in await store.history.of("o-2", 10)] == [None, Reason.NO_DRIVER, None]


async def test_a_version_of_data_has_an_entry(clean_database: str) -> None:
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        orders, history = PostgresOrders(pool), PostgresHistory(pool)
        await orders.add(an_order("o-1"))
        async with pool.connection() as connection:
            await connection.execute("update orders set version = version + 1, moved_by = 'maria@example.org'")
            await connection.execute("alter table order_log disable trigger append_only")
            await connection.execute("update order_log set kind = null where version = 1")  # as by a release before

        entries = await history.of("o-1", 10)

    assert [(entry.sequence, entry.kind, entry.status, entry.actor) for entry in entries] == [
        (1, ChangeKind.CREATED, Status.PENDING, CLIENT),
        (2, ChangeKind.UPDATED, Status.PENDING, "maria@example.org"),
    ]


def test_a_version_has_one_entry(clean_database: str) -> None:
    with psycopg.connect(clean_database, autocommit=True) as connection:
        connection.execute("insert into orders (id, price, tax, final_price) values ('o', 1, 0, 1)")
        with pytest.raises(psycopg.errors.UniqueViolation, match="order_log_by_version"):
            connection.execute("update orders set status = 'CANCELLED'")


def test_the_database_names_changes_as_the_domain_does(clean_database: str) -> None:
    pairs = [(was, became) for was in (None, *Status) for became in Status]
    with psycopg.connect(clean_database) as connection:
        named = [connection.execute("select 'orders.' || change_kind(%s, %s)", pair).fetchone() for pair in pairs]

    assert named == [(change_kind(was, became).value,) for was, became in pairs]


async def test_an_unknown_order_has_no_timeline(store: Store) -> None:
    with pytest.raises(OrderNotFound):
        await store.history.of("o-1", 10)


async def test_a_transition_has_its_trace_id(store: Store) -> None:
    async with exporting("test", ""):
        with span("a request"):
            trace_id = current_trace_id()
            await store.orders.add(an_order("o-1"))
        order = await store.orders.get("o-1")
        order.cancel(by=CLIENT)
        await store.orders.save(order)

    assert [entry.trace_id for entry in await store.history.of("o-1", 10)] == [trace_id, None]
    assert trace_id is not None
    assert len(trace_id) == 32


async def test_pages_repeat_and_miss_no_entry(store: Store) -> None:
    await store.kept("o-1", dispatch_to("ana"))
    now = await store.history.now()

    assert await everything(store.history, now) == []
    await store.kept("o-2", Order.cancel)
    behind = await everything(store.history, now)
    await store.kept("o-3")

    assert described(behind) == ["o-2 created", "o-2 cancelled"]
    assert described(await everything(store.history, behind[0].cursor)) == ["o-2 cancelled", "o-3 created"]
    assert described(await everything(store.history)) == [
        "o-1 created",
        "o-1 dispatched",
        *described(behind),
        "o-3 created",
    ]


async def test_the_cursor_passes_entries_that_do_not_match(store: Store) -> None:
    now = await store.history.now()
    await store.kept("o-1", Order.cancel)

    page = await store.history.after(now, HistoryFilter(frozenset({"o-2"})), 10)

    assert (page.entries, page.more, page.held_back) == ([], False, False)
    assert await everything(store.history, page.until) == []
    await store.kept("o-2")
    assert described(await everything(store.history, page.until)) == ["o-2 created"]


async def test_entries_are_filtered(store: Store) -> None:
    await store.kept("o-1", dispatch_to("ana"), Order.deliver)
    await store.kept("o-2", dispatch_to("bia"))

    ended = HistoryFilter(kinds=frozenset({ChangeKind.DELIVERED, ChangeKind.CANCELLED}))
    first = HistoryFilter(frozenset({"o-1"}))
    both = HistoryFilter(frozenset({"o-1"}), kinds=frozenset({ChangeKind.DISPATCHED}))
    assert described(await everything(store.history, which=ended)) == ["o-1 delivered"]
    assert described(await everything(store.history, which=first, page=2)) == [
        "o-1 created",
        "o-1 dispatched",
        "o-1 delivered",
    ]
    assert described(await everything(store.history, which=both)) == ["o-1 dispatched"]


async def test_a_cursor_of_the_future_is_refused(store: Store) -> None:
    await store.kept("o-1")

    for which in (ANYTHING, HistoryFilter(frozenset({"o-1"}))):
        with pytest.raises(UnknownCursor):
            await store.history.after(HistoryCursor(2**40, 1), which, 10)


async def test_a_lower_id_that_is_committed_later_is_not_missed(clean_database: str) -> None:
    """Of two transactions the first takes its txid and id before the second, and commits after it."""
    async with (
        create_pool(clean_database, size=2, wait_seconds=5) as pool,
        await psycopg.AsyncConnection.connect(clean_database) as slow,
    ):
        history = PostgresHistory(pool)
        now = await history.now()
        await slow.execute(INSERT, ("slow",))
        await PostgresOrders(pool).add(an_order("quick"))

        early = await history.after(now, ANYTHING, 10)
        await slow.commit()
        late = await history.after(early.until, ANYTHING, 10)

    assert (early.entries, early.held_back) == ([], True)
    assert (described(list(late.entries)), late.held_back) == (["slow created", "quick created"], False)
    assert late.entries[0].cursor.id < late.entries[1].cursor.id


async def test_beside_many_writers_a_reader_gets_each_transition_once_and_in_order(clean_database: str) -> None:
    orders_each, writers = 10, 8
    seen: list[HistoryEntry] = []
    async with create_pool(clean_database, size=writers + 1, wait_seconds=20) as pool:
        history, orders, cursor = PostgresHistory(pool), PostgresOrders(pool), BEGINNING
        await register(pool, *(f"driver-{writer}" for writer in range(writers)))
        written, committed = asyncio.Event(), asyncio.Event()

        async def write(writer: int) -> None:
            for number in range(orders_each):
                order = an_order(f"w{writer}-{number}")
                await orders.add(order)
                for verb in (dispatch_to(f"driver-{writer}"), Order.deliver):
                    verb(order, by=WORKER)
                    await orders.save(order)

        async def held_open() -> None:
            """Occasionally a long transaction."""
            async with await psycopg.AsyncConnection.connect(clean_database) as slow:
                number = 0
                while not written.is_set():
                    await slow.execute(INSERT, (f"slow-{number}",))
                    await asyncio.sleep(0.01)
                    await slow.commit()
                    number += 1

        async def read() -> None:
            nonlocal cursor
            while True:
                last = committed.is_set()
                page = await history.after(cursor, ANYTHING, 7)
                seen.extend(page.entries)
                cursor = page.until
                if last and not page.more and not page.held_back:
                    return

        reading, slow = asyncio.create_task(read()), asyncio.create_task(held_open())
        await asyncio.gather(*(write(writer) for writer in range(writers)))
        written.set()
        await slow
        committed.set()
        await reading
        async with pool.connection() as connection:
            logged = await (await connection.execute("select order_id, version from order_log")).fetchall()

    assert sorted((entry.order_id, entry.sequence) for entry in seen) == sorted(logged)
    assert len(logged) >= writers * orders_each * 3
    for order_id in {entry.order_id for entry in seen}:
        sequences = [entry.sequence for entry in seen if entry.order_id == order_id]
        assert sequences == sorted(sequences)


async def test_pages_are_index_scans_over_the_primary_key(clean_database: str) -> None:
    values = {"txid": "3", "id": 5, "limit": 10}
    with psycopg.connect(clean_database) as connection:
        connection.execute("set enable_seqscan = off")
        rows = connection.execute(f"explain {HISTORY.after}", values).fetchall()
    plan = "\n".join(row[0] for row in rows)

    assert "Index Cond: ((ROW(txid, id) > ROW('3'::xid8, '5'::bigint)) AND (txid < pg_snapshot_xmin(" in plan
    assert "Filter" not in plan
