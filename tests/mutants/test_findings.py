"""The invariants report no false positives."""

from __future__ import annotations

import asyncio

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import Connection, create_pool
from gofleet.domain.order import Order, Status
from gofleet.domain.principal import CLIENT
from gofleet.usecases.transitions import transition_order
from tests.databases import register
from tests.journeys.truth import read_state
from tests.makers import an_order, dispatch_to, in_status
from tests.mutants.findings import findings
from tests.waiting import eventually

OVERLAPS = ("a driver with two orders at once", "two overlapping orders of one driver")


async def test_a_dispatch_that_waited_for_its_driver_is_no_overlap(clean_database: str) -> None:
    """It waited for a lock on the order's row, as for a sweeper; by the times of the log it began too early."""
    async with create_pool(clean_database, size=5, wait_seconds=5) as pool:
        orders = PostgresOrders(pool)
        await register(pool, "ana")
        await orders.add(an_order("first"))
        await orders.add(an_order("second"))
        await transition_order(orders, "first", dispatch_to("ana"), by=CLIENT, done=in_status(Status.DISPATCHED))

        async with pool.connection() as sweeper, sweeper.transaction():
            await sweeper.execute("select from orders where id = 'second' for update")
            waiting = asyncio.create_task(
                transition_order(orders, "second", dispatch_to("ana"), by=CLIENT, done=in_status(Status.DISPATCHED))
            )
            async with pool.connection() as connection:
                await eventually(lambda: _waits_for_a_lock(connection))
            await transition_order(orders, "first", Order.deliver, by=CLIENT, done=in_status(Status.DELIVERED))
        await waiting

    violations = [*findings(clean_database), *read_state(clean_database).violations]
    assert [each for each in violations if each.startswith(OVERLAPS)] == []


async def _waits_for_a_lock(connection: Connection) -> bool:
    query = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    return bool(await (await connection.execute(query)).fetchone())
