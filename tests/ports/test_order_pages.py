"""A page of a full table costs what it costs in an empty one, however far behind the first it lies."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from gofleet.adapters.postgres.orders import ORDERS, PostgresOrders
from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.domain.order import Order, Status
from gofleet.ports import OrderFilter
from tests.many_orders import fill

LIMIT = 50
FEW = 1000
"""Much less than the table, whether rows of another status are passed over or those of one driver sorted."""
DEEP = 1000
"""The page that is compared with the first."""


@pytest.fixture
async def full(clean_database: str) -> AsyncGenerator[Pool]:
    fill(clean_database)
    async with create_pool(clean_database, size=1, wait_seconds=5) as pool:
        yield pool


async def behind(pool: Pool, pages: int, **which: Any) -> tuple[datetime, str]:
    """Where the page of that number ended."""
    async with pool.connection() as link:
        found = await link.execute(
            "select created_at, id from orders where (%(status)s::text is null or status = %(status)s)"
            " and (%(driver_id)s::text is null or driver_id = %(driver_id)s)"
            " order by created_at desc, id desc offset %(rows)s limit 1",
            {"status": None, "driver_id": None, **which, "rows": pages * LIMIT - 1},
        )
        row = await found.fetchone()
    assert row is not None
    return row[0], row[1]


class Plan:
    """What PostgreSQL did for one page, as EXPLAIN ANALYZE tells."""

    def __init__(self, nodes: list[dict[str, Any]]) -> None:
        self.pages_read = nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"]
        self.kinds = {node["Node Type"] for node in nodes}
        self.thrown_away = sum(node.get("Rows Removed by Filter", 0) for node in nodes)


async def planned(pool: Pool, which: OrderFilter) -> Plan:
    """How the page is found, by the statement and the values that the adapter sends."""
    sent: list[dict[str, object]] = []

    class Overheard(PostgresOrders):
        async def _found(self, query: Any, values: dict[str, object], *, prepare: bool | None = None) -> list[Order]:
            assert (query, prepare) == (ORDERS.list, False)
            sent.append(values)
            return []

    await Overheard(pool).list(which, LIMIT)
    async with pool.connection() as link:
        explained = await link.execute(
            b"explain (analyze, buffers, format json) " + ORDERS.list.encode(), sent[0], prepare=False
        )
        row = await explained.fetchone()
    assert row is not None
    return Plan(list(_nodes(row[0][0]["Plan"])))


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(inner for child in plan.get("Plans", []) for inner in _nodes(child))]


@pytest.mark.parametrize(
    ("which", "deep"),
    [
        ({}, DEEP),
        ({"status": Status.DELIVERED}, DEEP),
        ({"status": Status.CANCELLED}, 300),
        ({"driver_id": "driver-007"}, 7),
    ],
    ids=["all", "by a frequent status", "by a rare status", "by driver"],
)
async def test_a_late_page_reads_as_little_as_the_first(full: Pool, which: dict[str, Any], deep: int) -> None:
    first = await planned(full, OrderFilter(**which))
    late = await planned(full, OrderFilter(**which, before=await behind(full, deep, **which)))

    for plan in (first, late):
        assert "Seq Scan" not in plan.kinds
        assert plan.pages_read < FEW
        assert plan.thrown_away < FEW
    assert late.pages_read < 1.5 * first.pages_read + 5


async def test_only_the_orders_since_a_time_are_read(full: Pool) -> None:
    newest = (await PostgresOrders(full).list(OrderFilter(), 1))[0]
    assert newest.created_at is not None

    plan = await planned(full, OrderFilter(created_after=newest.created_at - timedelta(seconds=10)))

    assert plan.kinds <= {"Limit", "Index Scan"}
    assert plan.thrown_away == 0


async def test_asking_often_makes_no_plan_that_fits_all(full: Pool) -> None:
    """psycopg prepares what it has seen five times, and after five more PostgreSQL may plan it once for all."""
    orders, late = PostgresOrders(full), OrderFilter(before=await behind(full, DEEP))
    for _ in range(15):
        await orders.list(late, LIMIT)

    async with full.connection() as link:
        found = await link.execute(
            "select statement from pg_prepared_statements where statement like '%created_at desc%'"
        )
        assert await found.fetchall() == []


async def test_all_pages_together_are_all_orders_once(clean_database: str) -> None:
    fill(clean_database, many=2_000)
    async with create_pool(clean_database, size=1, wait_seconds=5) as pool:
        orders, before = PostgresOrders(pool), None
        seen: list[str] = []
        while page := await orders.list(OrderFilter(before=before), LIMIT):
            seen += [order.id for order in page]
            assert page[-1].created_at is not None
            before = (page[-1].created_at, page[-1].id)
            with psycopg.connect(clean_database, autocommit=True) as link:  # meanwhile new ones arrive
                link.execute(
                    "insert into orders (id, price, tax, final_price) values (%s, 1, 0, 1)", [f"new-{len(seen)}"]
                )

    assert seen == [f"o-{number:09}" for number in range(2_000, 0, -1)]
