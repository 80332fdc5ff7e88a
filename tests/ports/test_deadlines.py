"""Every order is evaluated once: whether it was dispatched within 5 s; waiting orders too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import psycopg
import pytest

from gofleet.adapters.postgres.indicators import PostgresDeadlines
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.domain.order import Order
from gofleet.domain.principal import CLIENT
from gofleet.usecases.transitions import Transition
from tests.databases import register
from tests.makers import an_order, dispatch_to, escalate
from tests.telemetry.moved import moved


@pytest.fixture
async def pool(clean_database: str) -> AsyncGenerator[Pool]:
    async with create_pool(clean_database, size=4, wait_seconds=5) as opened:
        await register(opened, "ana")
        yield opened


async def kept(
    pool: Pool, order_id: str, *moves: Transition, age: float, waited: float = 1.0, updated: bool = False
) -> None:
    """An order of this age, whose first transition happened after `waited` seconds, after a version of data if
    `updated`."""
    orders = PostgresOrders(pool)
    await orders.add(an_order(order_id))
    if updated:
        async with pool.connection() as connection:
            await connection.execute("update orders set version = version + 1 where id = %s", (order_id,))
    for move in moves:
        order = await orders.get(order_id)
        move(order, by=CLIENT)
        await orders.save(order)
    with psycopg.connect(str(pool.conninfo), autocommit=True) as connection:
        connection.execute("alter table order_log disable trigger append_only")
        connection.execute("update deadlines set until = least(until, now() - interval '10 minutes')")
        connection.execute(
            "update orders set created_at = now() - %s * interval '1 second' where id = %s", (age, order_id)
        )
        connection.execute(
            "update order_log set at = orders.created_at + %s * interval '1 second'"
            " from orders where orders.id = order_id and orders.id = %s and order_log.version = %s",
            (waited, order_id, 2 + updated),
        )


@pytest.mark.parametrize("updated", [False, True])
@pytest.mark.parametrize(
    ("moves", "waited", "evaluated"),
    [
        pytest.param([dispatch_to("ana")], 4.0, (1, 0), id="in time"),
        pytest.param([dispatch_to("ana")], 6.0, (1, 1), id="late"),
        pytest.param([], 0.0, (1, 1), id="still waiting, and nowhere else to be seen"),
        pytest.param([escalate], 2.0, (1, 1), id="escalated to manual dispatch"),
        pytest.param([escalate, dispatch_to("ana")], 2.0, (1, 1), id="dispatched manually"),
        pytest.param([Order.cancel], 2.0, (0, 0), id="cancelled in time"),
        pytest.param([Order.cancel], 7.0, (1, 1), id="cancelled after waiting too long"),
    ],
)
async def test_an_order_is_evaluated_by_its_first_transition(
    pool: Pool, moves: list[Transition], waited: float, evaluated: tuple[int, int], updated: bool
) -> None:
    await kept(pool, "o-1", *moves, age=60, waited=waited, updated=updated)

    with (
        moved("gofleet_orders_due_total", up=evaluated[0]),
        moved("gofleet_orders_deadline_missed_total", up=evaluated[1]),
    ):
        assert await PostgresDeadlines(pool).evaluate() == (*evaluated, False)


async def test_an_order_before_its_deadline_is_evaluated_later(pool: Pool) -> None:
    await kept(pool, "o-1", age=8)

    assert await PostgresDeadlines(pool).evaluate() == (0, 0, False)

    with psycopg.connect(str(pool.conninfo), autocommit=True) as connection:
        connection.execute("update orders set created_at = created_at - interval '3 seconds'")
        connection.execute("update deadlines set until = until - interval '3 seconds'")
    assert await PostgresDeadlines(pool).evaluate() == (1, 1, False)


async def test_concurrent_relays_evaluate_an_order_once(pool: Pool) -> None:
    for number in range(5):
        await kept(pool, f"o-{number}", age=60)

    found = await asyncio.gather(*(PostgresDeadlines(pool).evaluate() for _ in range(4)))

    assert sum(evaluated.due for evaluated in found) == 5
    assert await PostgresDeadlines(pool).evaluate() == (0, 0, False)


async def test_a_backlog_is_evaluated_in_batches(pool: Pool) -> None:
    for number in range(5):
        await kept(pool, f"o-{number}", age=500 - number)

    found = [await PostgresDeadlines(pool, batch=2).evaluate() for _ in range(4)]

    assert found == [(2, 2, True), (2, 2, True), (1, 1, False), (0, 0, False)]


async def test_orders_created_at_the_same_time_are_evaluated_together(pool: Pool) -> None:
    """The next batch begins after that time."""
    for number in range(5):
        await kept(pool, f"o-{number}", age=60)
    with psycopg.connect(str(pool.conninfo), autocommit=True) as connection:
        connection.execute("update orders set created_at = (select min(created_at) from orders)")

    found = [await PostgresDeadlines(pool, batch=2).evaluate() for _ in range(2)]

    assert found == [(5, 5, True), (0, 0, False)]


async def test_orders_before_the_first_migration_are_not_evaluated(pool: Pool) -> None:
    await PostgresOrders(pool).add(an_order("o-1"))
    with psycopg.connect(str(pool.conninfo), autocommit=True) as connection:
        connection.execute("update orders set created_at = created_at - interval '1 day'")

    assert await PostgresDeadlines(pool).evaluate() == (0, 0, False)
