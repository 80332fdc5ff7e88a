"""The races of dispatch: one driver per order, and of two concurrent transitions one fails."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import psycopg
import pytest

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresInbox
from gofleet.adapters.postgres.pool import Pool
from gofleet.domain.driver import Candidate, Driver, Position
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Status
from gofleet.domain.principal import CLIENT
from gofleet.ports import Search
from gofleet.testing.positions import MemoryPositions
from gofleet.usecases.dispatch_order import DispatchOrder, SearchRadius
from gofleet.usecases.transitions import Transition, transition_order
from tests.defects.ways import Way, both_ways
from tests.defects.worker import Answer, a_driver
from tests.makers import CENTRE, a_position, an_order, dispatch_to, in_status, on_the_map

EVENT = "018f0000-0000-7000-8000-00000000000{}"
COUNT = 5


class BlindOrders(PostgresOrders):
    """Saves by `UPDATE ... WHERE id` without version or event, on a table without constraints."""

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        async with self._pool.connection() as connection:
            values = [order.status.value, order.driver_id, order.version, order.id]
            statement = "update orders set status = %s, driver_id = %s, version = %s where id = %s"
            await connection.execute(statement, values)


@pytest.fixture
def stored(clean_database: str, pool: Pool, way: Way) -> PostgresOrders:
    if way is Way.OURS:
        return PostgresOrders(pool)
    with psycopg.connect(clean_database, autocommit=True) as connection:
        connection.execute("drop index one_live_order_per_driver")
        connection.execute("drop index order_log_by_version")
        connection.execute("drop trigger refuse_illegal_move on orders")
    return BlindOrders(pool)


@dataclass(frozen=True)
class Searching:
    """A fleet with a scripted search."""

    answer: Answer

    async def search(self, search: Search) -> list[Candidate]:
        return await self.answer(search)

    async def register(self, driver: Driver) -> None: ...
    async def update_position(self, position: Position) -> bool:
        return True


def dispatching(orders: PostgresOrders, pool: Pool, fleet: Searching) -> DispatchOrder:
    return DispatchOrder(orders, PostgresInbox(pool), fleet, SearchRadius(5, 10, 1))


@both_ways
async def test_orders_get_different_drivers(pool: Pool, stored: PostgresOrders, way: Way) -> None:
    positions = MemoryPositions()
    await on_the_map(positions, [a_position(f"driver-{number}", metres_north=number) for number in range(COUNT)])
    fleet = Searching(positions.claim_nearest if way is Way.OURS else joao_da_silva)
    for number in range(COUNT):
        await stored.add(an_order(f"o-{number}"))

    dispatch = dispatching(stored, pool, fleet)
    await asyncio.gather(*(dispatch(f"o-{n}", Receipt("dispatch", EVENT.format(n))) for n in range(COUNT)))

    with way.fails("joao"):
        drivers = [(await stored.get(f"o-{number}")).driver_id for number in range(COUNT)]
        assert len(set(drivers)) == COUNT, drivers


async def joao_da_silva(search: Search) -> list[Candidate]:
    return [Candidate("joao", "Joao da Silva", CENTRE, 0)]


@both_ways
@pytest.mark.parametrize("verb", [Order.cancel, dispatch_to("by-hand")])
async def test_a_transition_during_the_search_is_kept(
    pool: Pool, stored: PostgresOrders, verb: Transition, way: Way
) -> None:
    await stored.add(an_order())
    ours = PostgresOrders(pool)

    async def meanwhile(search: Search) -> list[Candidate]:
        order = await ours.get("o-1")
        if order.status is Status.PENDING:
            verb(order, by=CLIENT)
            await ours.save(order)
        return await a_driver(search)

    await dispatching(stored, pool, Searching(meanwhile))("o-1", Receipt("dispatch", EVENT.format(1)))

    with way.fails("driver-of-o-1"):
        assert (await stored.get("o-1")).driver_id in {None, "by-hand"}


@both_ways
async def test_every_transition_has_an_event(pool: Pool, stored: PostgresOrders, way: Way) -> None:
    await stored.add(an_order())

    await dispatching(stored, pool, Searching(a_driver))("o-1", Receipt("dispatch", EVENT.format(1)))
    await transition_order(stored, "o-1", Order.deliver, by=CLIENT, done=in_status(Status.DELIVERED))

    async with pool.connection() as connection:
        types = await (await connection.execute("select event_type from outbox order by seq")).fetchall()
    with way.fails("orders.created"):
        assert [type for (type,) in types] == ["orders.created", "orders.dispatched", "orders.delivered"]
