"""A repeated request for the same order succeeds. For invalid bodies see tests/roles/test_api_input.py."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx

from gofleet.adapters.http.app import Api, api_app
from gofleet.adapters.http.server import serving
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import Pool
from gofleet.domain.order import Order, OrderFilter
from gofleet.usecases.create_order import CreateOrder
from tests.defects.ways import Way, both_ways
from tests.roles.conftest import World

AT_ONCE = 10


class PlainInserts(PostgresOrders):
    """Ignores the database's error about a duplicate."""

    async def add(self, order: Order) -> bool:
        async with self._pool.connection() as connection:
            values = [order.id, order.price, order.tax, order.final_price]
            await connection.execute("insert into orders (id, price, tax, final_price) values (%s, %s, %s, %s)", values)
        return True


def an_api(orders: PostgresOrders) -> Api:
    return replace(World().api(), orders=orders, create_order=CreateOrder(orders))


@both_ways
async def test_concurrent_equal_requests_create_an_order_once_and_all_succeed(pool: Pool, way: Way) -> None:
    orders = PostgresOrders(pool) if way is Way.OURS else PlainInserts(pool)
    wanted = {"id": "o-1", "price": 0.1, "tax": 0.2}
    async with (
        serving(api_app(an_api(orders)), "127.0.0.1", 0, grace_seconds=2) as listening,
        httpx.AsyncClient(base_url=listening.url, timeout=10, trust_env=False) as client,
    ):
        answers = await asyncio.gather(*(client.post("/api/v1/orders", json=wanted) for _ in range(AT_ONCE)))

    assert len(await orders.list(OrderFilter(), 100)) == 1
    with way.fails("500"):
        assert sorted(answer.status_code for answer in answers) == [200] * (AT_ONCE - 1) + [201]
        assert {answer.json()["final_price"] for answer in answers} == {0.3}  # and not 0.30000000000000004
