"""A backlog of the outbox: every event is published, and claiming costs the same for any number of waiting events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import psycopg
import pytest

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import LAG_COUNT_MAX, OUTBOX, PostgresOutbox
from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.domain.order import Order
from gofleet.domain.principal import WORKER
from tests.databases import register
from tests.makers import an_order
from tests.ports.stores import Store, store
from tests.waiting import eventually

__all__ = ["store"]

AN_ORDER = "insert into orders (id, price, tax, final_price) values (%s, 100, 10, 110)"
AN_EVENT = """
insert into outbox (event_id, aggregate_id, seq, event_type, payload)
values (gen_random_uuid(), %s, 1, 'orders.created', '{}')
"""
MANY = """
with added as (
    insert into orders (id, price, tax, final_price)
    select 'm-' || n, 1, 0, 1 from generate_series(1, 3000) as n
    returning id
)
insert into outbox (event_id, aggregate_id, seq, event_type, payload)
select gen_random_uuid(), id, seq, 'orders.created', '{}' from added, generate_series(1, 2) seq
"""


@pytest.fixture
async def pool(clean_database: str) -> AsyncGenerator[Pool]:
    async with create_pool(clean_database, size=4, wait_seconds=5) as opened:
        yield opened


async def taken(outbox: PostgresOutbox, limit: int) -> list[str]:
    async with outbox.claiming(limit) as claim:
        await claim.settle([None] * len(claim.messages))
        return [message.order_id for message in claim.messages]


async def test_a_backlog_is_published_completely_and_in_order(store: Store) -> None:
    for number in range(7):
        await store.kept(f"o-{number}", Order.cancel)

    left: list[tuple[str, int]] = []
    while len(left) < 14:
        async with store.outbox.claiming(3) as claim:
            assert claim.messages, left
            left += [(message.order_id, message.sequence) for message in claim.messages]
            await claim.settle([None] * len(claim.messages))

    assert sorted(left) == [(f"o-{number}", sequence) for number in range(7) for sequence in (1, 2)]
    assert all(left.index((f"o-{number}", 1)) < left.index((f"o-{number}", 2)) for number in range(7))


async def test_an_event_committed_late_is_claimed_after_later_ids(pool: Pool, clean_database: str) -> None:
    """Its id is lower than theirs."""
    orders, outbox = PostgresOrders(pool), PostgresOutbox(pool)
    async with await psycopg.AsyncConnection.connect(clean_database) as slow:
        await slow.execute(AN_ORDER, ["o-late"])
        await slow.execute(AN_EVENT, ["o-late"])
        for number in range(4):
            await orders.add(an_order(f"o-{number}"))
        assert await taken(outbox, 2) == ["o-0", "o-1"]
        await slow.commit()

    assert await taken(outbox, 2) == ["o-2", "o-3"]
    assert await taken(outbox, 2) == ["o-late"]


async def test_an_unpublished_claim_is_claimed_again(pool: Pool) -> None:
    orders, outbox = PostgresOrders(pool), PostgresOutbox(pool)
    for number in range(4):
        await orders.add(an_order(f"o-{number}"))
    assert await taken(outbox, 1) == ["o-0"]

    with pytest.raises(ConnectionResetError):
        async with outbox.claiming(1):
            raise ConnectionResetError

    assert await taken(outbox, 1) == ["o-1"]


@pytest.mark.parametrize("statement", [OUTBOX.claim, OUTBOX.lag])
async def test_old_statistics_do_not_make_a_claim_slow(pool: Pool, statement: str) -> None:
    """As an anti join the claim would read all waiting events once for each claimed one: statistics gathered while the
    outbox is empty estimate this as cheap."""
    async with pool.connection() as connection:
        await connection.execute(MANY)
        await connection.execute("update outbox set published_at = now()")
        await connection.execute("vacuum analyze outbox")
        await connection.execute(MANY.replace("'m-'", "'n-'"))
        values = {"after": 0, "limit": 100, "most": LAG_COUNT_MAX}
        found = await connection.execute(f"explain (analyze, format json) {statement.rstrip(';')}".encode(), values)
        ((plan,),) = await found.fetchall()

    assert most_rows(plan[0]["Plan"]) <= 6000


def most_rows(plan: dict[str, object]) -> int:
    """The largest number of rows that a node of the plan read."""
    loops = int(str(plan["Actual Loops"]))
    looked_at = sum(
        float(str(value)) for name, value in plan.items() if name.startswith(("Actual Rows", "Rows Removed by"))
    )
    parts: list[dict[str, object]] = plan.get("Plans", [])  # pyright: ignore[reportAssignmentType]
    return max(round(loops * looked_at), *(most_rows(part) for part in parts), 0)


async def test_no_sequential_scan_before_the_tables_are_analysed(pool: Pool, clean_database: str) -> None:
    """A plan made for a small table is kept until then, a minute or more."""
    orders = PostgresOrders(pool)
    await register(pool, *(f"driver-{number}" for number in range(1000)))

    async def lived(number: int) -> None:
        await orders.add(an_order(f"o-{number}"))
        order = await orders.get(f"o-{number}")
        order.dispatch(f"driver-{number}", by=WORKER)
        await orders.save(order)

    def scans() -> int:
        with psycopg.connect(clean_database) as connection:
            row = connection.execute("select seq_scan from pg_stat_user_tables where relname = 'orders'").fetchone()
        assert row
        return row[0]

    async def reported() -> int:
        """Scans of all backends, which report them at the latest when they end."""
        await pool.close()
        await eventually(lambda: backends() == 0)
        return scans()

    def backends() -> int:
        with psycopg.connect(clean_database) as connection:
            row = connection.execute(
                "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                " and backend_type = 'client backend'"
            ).fetchone()
        assert row
        return row[0]

    before = scans()
    for first in range(0, 300, 20):
        await asyncio.gather(*(lived(number) for number in range(first, first + 20)))

    assert await reported() == before
