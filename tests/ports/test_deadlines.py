"""Every order is judged once, whether it had its driver within 5 s; those that are still waiting most of all."""

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
from tests.makers import an_order, dispatch_to, escalate
from tests.telemetry.moved import moved


@pytest.fixture
async def pool(clean_database: str) -> AsyncGenerator[Pool]:
    async with create_pool(clean_database, size=4, wait_seconds=5) as opened:
        yield opened


async def kept(pool: Pool, order_id: str, *moves: Transition, age: float, waited: float = 1.0) -> None:
    """An order of that age whose first move came when it had waited for so long."""
    orders = PostgresOrders(pool)
    await orders.add(an_order(order_id))
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
            " from orders where orders.id = order_id and orders.id = %s and order_log.version = 2",
            (waited, order_id),
        )


@pytest.mark.parametrize(
    ("moves", "waited", "judged"),
    [
        pytest.param([dispatch_to("ana")], 4.0, (1, 0), id="in time"),
        pytest.param([dispatch_to("ana")], 6.0, (1, 1), id="late"),
        pytest.param([], 0.0, (1, 1), id="still waiting, and nowhere else to be seen"),
        pytest.param([escalate], 2.0, (1, 1), id="handed to people"),
        pytest.param([escalate, dispatch_to("ana")], 2.0, (1, 1), id="by people, who are not what was promised"),
        pytest.param([Order.cancel], 2.0, (0, 0), id="cancelled in time"),
        pytest.param([Order.cancel], 7.0, (1, 1), id="cancelled after waiting too long"),
    ],
)
async def test_an_order_is_judged_by_its_first_move(
    pool: Pool, moves: list[Transition], waited: float, judged: tuple[int, int]
) -> None:
    await kept(pool, "o-1", *moves, age=60, waited=waited)

    with moved("gofleet_orders_due_total", up=judged[0]), moved("gofleet_orders_deadline_missed_total", up=judged[1]):
        assert await PostgresDeadlines(pool).evaluate() == (*judged, False)


async def test_an_order_whose_time_is_not_over_is_judged_later(pool: Pool) -> None:
    await kept(pool, "o-1", age=8)

    assert await PostgresDeadlines(pool).evaluate() == (0, 0, False)

    with psycopg.connect(str(pool.conninfo), autocommit=True) as connection:
        connection.execute("update orders set created_at = created_at - interval '3 seconds'")
        connection.execute("update deadlines set until = until - interval '3 seconds'")
    assert await PostgresDeadlines(pool).evaluate() == (1, 1, False)


async def test_of_many_relays_one_judges_an_order(pool: Pool) -> None:
    for number in range(5):
        await kept(pool, f"o-{number}", age=60)

    found = await asyncio.gather(*(PostgresDeadlines(pool).evaluate() for _ in range(4)))

    assert sum(judged.due for judged in found) == 5
    assert await PostgresDeadlines(pool).evaluate() == (0, 0, False)


async def test_a_long_silence_is_caught_up_bit_by_bit(pool: Pool) -> None:
    for number in range(5):
        await kept(pool, f"o-{number}", age=500 - number)

    found = [await PostgresDeadlines(pool, batch=2).evaluate() for _ in range(4)]

    assert found == [(2, 2, True), (2, 2, True), (1, 1, False), (0, 0, False)]


async def test_orders_of_the_same_moment_are_judged_together(pool: Pool) -> None:
    """The next batch begins behind that moment."""
    for number in range(5):
        await kept(pool, f"o-{number}", age=60)
    with psycopg.connect(str(pool.conninfo), autocommit=True) as connection:
        connection.execute("update orders set created_at = (select min(created_at) from orders)")

    found = [await PostgresDeadlines(pool, batch=2).evaluate() for _ in range(2)]

    assert found == [(5, 5, True), (0, 0, False)]


async def test_nothing_before_the_first_migration_is_judged(pool: Pool) -> None:
    await PostgresOrders(pool).add(an_order("o-1"))
    with psycopg.connect(str(pool.conninfo), autocommit=True) as connection:
        connection.execute("update orders set created_at = created_at - interval '1 day'")

    assert await PostgresDeadlines(pool).evaluate() == (0, 0, False)
