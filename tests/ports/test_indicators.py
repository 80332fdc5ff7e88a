"""The contract of `Indicators`, in memory and in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import psycopg
import pytest

from gofleet.adapters.postgres.indicators import PostgresIndicators
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.indicators import RequestCounts
from gofleet.domain.order import Order
from gofleet.domain.principal import CLIENT
from gofleet.ports import Indicators, Orders
from gofleet.testing.orders import MemoryIndicators, MemoryOrders
from gofleet.usecases.transitions import Transition
from tests.databases import register
from tests.makers import an_order, dispatch_to, escalate

WINDOW = 900.0


@dataclass
class Records:
    """Orders and their indicators; `age` makes an order and its transitions older by some seconds."""

    orders: Orders
    indicators: Indicators
    age: Callable[[str, float, float], Awaitable[None]]

    async def kept(self, order_id: str, *moves: Transition, age: float = 60.0, waited: float = 1.0) -> None:
        """An order of this age, whose first transition happened after `waited` seconds."""
        await self.orders.add(an_order(order_id))
        for move in moves:
            order = await self.orders.get(order_id)
            move(order, by=CLIENT)
            await self.orders.save(order)
        await self.age(order_id, age, waited)

    async def shares(self) -> dict[str, tuple[int, int]]:
        found = await self.indicators.read(WINDOW)
        return {each.objective.name: (each.good, each.valid) for each in found}


@pytest.fixture(params=["memory", "postgres"])
async def records(request: pytest.FixtureRequest) -> AsyncGenerator[Records]:
    if request.param == "memory":
        orders = MemoryOrders()

        async def age_in_memory(order_id: str, age: float, waited: float) -> None:
            order = orders.rows[order_id]
            assert order.created_at is not None
            order.created_at -= timedelta(seconds=age)
            for number, entry in enumerate(orders.log):
                if (entry.order_id, entry.sequence) == (order_id, 2):
                    orders.log[number] = replace(entry, at=order.created_at + timedelta(seconds=waited))

        yield Records(orders, MemoryIndicators(orders), age_in_memory)
        return
    database: str = request.getfixturevalue("clean_database")

    async def age_in_postgres(order_id: str, age: float, waited: float) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("alter table order_log disable trigger append_only")
            connection.execute(
                "update orders set created_at = created_at - %(age)s * interval '1 second', dispatched_at ="
                " case when dispatched_at is not null then created_at + (%(waited)s - %(age)s) * interval '1 second'"
                " end"
                " where id = %(id)s",
                {"id": order_id, "age": age, "waited": waited},
            )
            connection.execute(
                "update order_log set at = orders.created_at + %(waited)s * interval '1 second'"
                " from orders where orders.id = order_id and orders.id = %(id)s and order_log.version = 2",
                {"id": order_id, "waited": waited},
            )

    async with create_pool(database, size=4, wait_seconds=5) as pool:
        await register(pool, "ana", "bia", "cid", "dora", "eva", "fabio", "gil", "hugo")
        yield Records(PostgresOrders(pool), PostgresIndicators(pool), age_in_postgres)


async def test_an_empty_table_has_no_indicators(records: Records) -> None:
    found = await records.indicators.read(WINDOW)

    assert [each.objective.name for each in found] == ["ingest", "availability", "dispatch", "success"]
    assert [(each.value, each.met) for each in found] == [(None, None)] * 4


async def test_requests_of_all_processes_count_together_and_once(records: Records) -> None:
    one = RequestCounts(answered=10, failed=1, ingests=4, fast_ingests=3)
    await records.indicators.count("a", 1, one)
    await records.indicators.count("a", 1, one)  # repeated, as after a lost response
    await records.indicators.count("a", 2, RequestCounts(answered=5))
    await records.indicators.count("b", 1, RequestCounts(answered=1, ingests=1, fast_ingests=1))

    shares = await records.shares()

    assert shares["availability"] == (15, 16)
    assert shares["ingest"] == (4, 5)


async def test_the_first_transition_of_an_order_counts(records: Records) -> None:
    await records.kept("delivered", dispatch_to("ana"), Order.deliver)
    await records.kept("late", dispatch_to("bia"), waited=5.5)
    await records.kept("redispatched", dispatch_to("cid"), Order.redispatch, dispatch_to("dora"), Order.deliver)
    await records.kept("by-hand", escalate, dispatch_to("eva"))
    await records.kept("cancelled", Order.cancel)
    await records.kept("cancelled-later", dispatch_to("fabio"), Order.cancel)
    await records.kept("stranded")
    await records.kept("too-young-to-be-late", age=1.0)
    await records.kept("young-and-dispatched", dispatch_to("gil"), age=1.0, waited=0.5)
    await records.kept("long-ago", dispatch_to("hugo"), age=WINDOW + 1)

    shares = await records.shares()

    assert shares["dispatch"] == (3, 6)  # good: delivered, redispatched, cancelled later; not: late, manual, waiting
    assert shares["success"] == (5, 6)


async def test_versions_of_data_are_no_transitions(clean_database: str) -> None:
    async with create_pool(clean_database, size=4, wait_seconds=5) as pool:
        await register(pool, "ana")
        orders = PostgresOrders(pool)
        for order_id, moves in {"waiting": [], "dispatched": [dispatch_to("ana")]}.items():
            await orders.add(an_order(order_id))
            async with pool.connection() as connection:
                await connection.execute("update orders set version = version + 1 where id = %s", (order_id,))
            for move in moves:
                order = await orders.get(order_id)
                move(order, by=CLIENT)
                await orders.save(order)
        async with pool.connection() as connection:
            await connection.execute("update orders set created_at = created_at - interval '3 seconds'")
        indicators = {each.objective.name: each for each in await PostgresIndicators(pool).read(WINDOW)}
        assert (indicators["success"].good, indicators["success"].valid) == (1, 1)
        async with pool.connection() as connection:
            await connection.execute("update orders set created_at = created_at - interval '1 second'")
        indicators = {
            each.objective.name: each for each in await PostgresIndicators(pool, fresh_seconds=0).read(WINDOW)
        }

    assert (indicators["dispatch"].good, indicators["dispatch"].valid) == (0, 0)  # younger than the deadline


async def test_a_result_is_cached_for_a_while(clean_database: str) -> None:
    async with create_pool(clean_database, size=4, wait_seconds=5) as pool:
        indicators = PostgresIndicators(pool, fresh_seconds=3600)
        before = await asyncio.gather(*(indicators.read(WINDOW) for _ in range(20)))
        await indicators.count("a", 1, RequestCounts(answered=1))

        assert all(found is before[0] for found in [*before, await indicators.read(WINDOW)])
        assert (await PostgresIndicators(pool).read(WINDOW))[1].valid == 1
