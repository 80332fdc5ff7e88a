"""A page of orders costs the same in a full table as in an empty one, however late it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from gofleet.adapters.postgres.orders import ORDERS, PostgresOrders
from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.domain.order import Order, OrderFilter, Status
from gofleet.embedded import Postgres
from tests.databases import a_database
from tests.many_orders import fill

LIMIT = 50
ROWS_READ_MAX = 1000
"""Far below the size of the table, whether rows of another status are skipped or those of one driver sorted."""
DEEP = 1000
"""The number of the page that is compared with the first."""


@pytest.fixture(scope="module")
def full_database(postgres_server: Postgres, migrated_template: str) -> Generator[str]:
    """Filled once, which takes seconds; the tests only read it."""
    with a_database(postgres_server, migrated_template) as conninfo:
        fill(conninfo)
        yield conninfo


@pytest.fixture
async def full(full_database: str) -> AsyncGenerator[Pool]:
    async with create_pool(full_database, size=1, wait_seconds=5) as pool:
        yield pool


async def end_of_page(pool: Pool, pages: int, **criteria: Any) -> tuple[datetime, str]:
    """The (created_at, id) of the last order on the page of that number."""
    async with pool.connection() as connection:
        found = await connection.execute(
            "select created_at, id from orders where (%(status)s::text is null or status = %(status)s)"
            " and (%(driver_id)s::text is null or driver_id = %(driver_id)s)"
            " and (%(reference)s::text is null or reference = %(reference)s)"
            " order by created_at desc, id desc offset %(rows)s limit 1",
            {"status": None, "driver_id": None, "reference": None, **criteria, "rows": pages * LIMIT - 1},
        )
        row = await found.fetchone()
    assert row is not None
    return row[0], row[1]


class Plan:
    """The plan of one page, by EXPLAIN ANALYZE."""

    def __init__(self, nodes: list[dict[str, Any]]) -> None:
        self.pages_read = nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"]
        self.kinds = {node["Node Type"] for node in nodes}
        self.rows_filtered_out = sum(node.get("Rows Removed by Filter", 0) for node in nodes)


async def plan_of(pool: Pool, criteria: OrderFilter) -> Plan:
    """The plan of the page, for the statement and the values that the adapter sends."""
    sent: list[dict[str, object]] = []

    class RecordingOrders(PostgresOrders):
        async def _orders(
            self, query: Any, values: Mapping[str, object], *, prepare: bool | None = None
        ) -> list[Order]:
            assert (query, prepare) == (ORDERS.list, False)
            sent.append(dict(values))
            return []

    await RecordingOrders(pool).list(criteria, LIMIT)
    async with pool.connection() as connection:
        explained = await connection.execute(
            b"explain (analyze, buffers, format json) " + ORDERS.list.encode(), sent[0], prepare=False
        )
        row = await explained.fetchone()
    assert row is not None
    return Plan(list(_nodes(row[0][0]["Plan"])))


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(inner for child in plan.get("Plans", []) for inner in _nodes(child))]


@pytest.mark.parametrize(
    ("criteria", "deep"),
    [
        ({}, DEEP),
        ({"status": Status.DELIVERED}, DEEP),
        ({"status": Status.CANCELLED}, 300),
        ({"driver_id": "driver-007"}, 7),
        ({"reference": "A-007"}, 7),
    ],
    ids=["all", "by a frequent status", "by a rare status", "by driver", "by reference"],
)
async def test_a_late_page_reads_no_more_rows_than_the_first(full: Pool, criteria: dict[str, Any], deep: int) -> None:
    first = await plan_of(full, OrderFilter(**criteria))
    late = await plan_of(full, OrderFilter(**criteria, before=await end_of_page(full, deep, **criteria)))

    for plan in (first, late):
        assert "Seq Scan" not in plan.kinds
        assert plan.pages_read < ROWS_READ_MAX
        assert plan.rows_filtered_out < ROWS_READ_MAX
    assert late.pages_read < 1.5 * first.pages_read + 5


async def test_reads_only_the_orders_created_after_a_time(full: Pool) -> None:
    newest = (await PostgresOrders(full).list(OrderFilter(), 1))[0]
    assert newest.created_at is not None

    plan = await plan_of(full, OrderFilter(created_after=newest.created_at - timedelta(seconds=10)))

    assert plan.kinds <= {"Limit", "Index Scan"}
    assert plan.rows_filtered_out == 0


def test_the_statement_compares_each_field_of_the_filter() -> None:
    """The page before and the owner are two values each."""
    compared = {field.name for field in fields(OrderFilter)} - {"before", "owner"}

    assert [name for name in sorted(compared) if f"%({name})s" not in ORDERS.list] == []


async def test_repeated_lists_are_never_planned_generically(full: Pool) -> None:
    """psycopg prepares a statement at its fifth execution, and after five more PostgreSQL may use a generic plan."""
    orders, late = PostgresOrders(full), OrderFilter(before=await end_of_page(full, DEEP))
    for _ in range(15):
        await orders.list(late, LIMIT)

    async with full.connection() as connection:
        found = await connection.execute(
            "select statement from pg_prepared_statements where statement like '%created_at desc%'"
        )
        assert await found.fetchall() == []


async def test_pages_together_list_every_order_once(clean_database: str) -> None:
    fill(clean_database, count=2_000)
    async with create_pool(clean_database, size=1, wait_seconds=5) as pool:
        orders, before = PostgresOrders(pool), None
        seen: list[str] = []
        while page := await orders.list(OrderFilter(before=before), LIMIT):
            seen += [order.id for order in page]
            assert page[-1].created_at is not None
            before = (page[-1].created_at, page[-1].id)
            with psycopg.connect(clean_database, autocommit=True) as connection:  # orders arrive between the pages
                connection.execute(
                    "insert into orders (id, price, tax, final_price) values (%s, 1, 0, 1)", [f"new-{len(seen)}"]
                )

    assert seen == [f"o-{number:09}" for number in range(2_000, 0, -1)]
