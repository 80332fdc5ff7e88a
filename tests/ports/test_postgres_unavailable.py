"""PostgreSQL disconnected, frozen or read-only: every call raises `Unavailable` in time, and recovers afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresInbox, PostgresOutbox
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.domain.driver import Candidate
from gofleet.domain.errors import Unavailable
from gofleet.domain.events import to_json
from gofleet.domain.messages import ATTEMPT, DISPATCH_QUEUE, EVENT_ID, Delivery, Retry
from gofleet.guards.chain import ChainSettings, dispatch_chain
from gofleet.guards.manual_fallback import WaitLimits
from gofleet.guards.parking import RetryRules
from gofleet.ports import Search
from gofleet.testing.leases import MemoryLeases
from gofleet.usecases.dispatch_order import DispatchOrder, SearchRadius
from tests.fleets import FakeFleet
from tests.makers import an_order
from tests.ports.proxy import Proxy, a_proxy
from tests.waiting import eventually


@asynccontextmanager
async def through_a_proxy(conninfo: str) -> AsyncGenerator[tuple[Pool, Proxy]]:
    async with a_proxy(int(str(conninfo_to_dict(conninfo)["port"]))) as proxy:
        there = make_conninfo(conninfo, host="127.0.0.1", port=proxy.port)
        async with create_pool(there, size=2, wait_seconds=1, answer_seconds=0.5) as pool:
            yield pool, proxy


async def test_a_frozen_server_is_unavailable_and_recovers(clean_database: str) -> None:
    async with through_a_proxy(clean_database) as (pool, proxy):
        orders = PostgresOrders(pool)
        await orders.add(an_order("o-1"))
        proxy.silence()
        began = time.monotonic()

        for _ in range(3):
            with pytest.raises(Unavailable):
                await orders.get("o-1")

        assert time.monotonic() - began < 5  # 3 times half a second, or a second of waiting for the pool
        await proxy.drop()
        await proxy.allow()

        async def answers() -> bool:
            try:
                return (await orders.get("o-1")).id == "o-1"
            except Unavailable:
                return False

        await eventually(answers, within=20)


async def test_a_claim_on_a_frozen_server_ends(clean_database: str) -> None:
    """Also within a transaction, where the rollback would wait too."""
    async with through_a_proxy(clean_database) as (pool, proxy):
        await PostgresOrders(pool).add(an_order("o-1"))

        async with asyncio.timeout(10):
            with pytest.raises(Unavailable):
                async with PostgresOutbox(pool).claiming(10) as claim:
                    proxy.silence()
                    await claim.settle([None])


class FindingFleet(FakeFleet):
    async def search(self, search: Search) -> list[Candidate]:
        return [Candidate("ana", "Ana", search.pickup, 0.0)]


@pytest.mark.parametrize("again", [{}, {ATTEMPT: "0"}], ids=["while it is saved", "while it is read"])
async def test_an_order_in_flight_during_a_silence_costs_no_attempt(clean_database: str, again: dict[str, str]) -> None:
    """Six failovers would otherwise send it to manual dispatch, although nothing is wrong with it."""
    order = an_order("o-1")
    event = order.pending_events[0]
    delivery = Delivery(DISPATCH_QUEUE, to_json(event), {EVENT_ID: str(event.event_id), **again})
    async with through_a_proxy(clean_database) as (pool, proxy):
        orders, inbox = PostgresOrders(pool), PostgresInbox(pool)
        await orders.add(order)
        handler = dispatch_chain(
            DispatchOrder(orders, inbox, FindingFleet(), SearchRadius(5, 5, 60)),
            orders=orders,
            inbox=inbox,
            leases=MemoryLeases(),
            parked=PostgresParked(pool),
            # The deadline ends the attempt before the connection is shut down, as that of a call behind another one.
            rules=ChainSettings(RetryRules(), WaitLimits(), deadline_seconds=0.3, hold_seconds=0.2),
            stopping=asyncio.Event(),
        )
        proxy.silence()

        outcome = await handler(delivery)

        assert isinstance(outcome, Retry)
        assert not outcome.counted


async def test_a_slow_response_is_no_outage(clean_database: str) -> None:
    async with (
        create_pool(clean_database, size=1, wait_seconds=1, answer_seconds=2) as pool,
        pool.connection() as connection,
    ):
        await connection.execute("select pg_sleep(0.3)")
        await connection.execute("select 1")


async def test_broken_connections_in_the_pool_are_replaced(clean_database: str) -> None:
    async with through_a_proxy(clean_database) as (pool, proxy):
        orders = PostgresOrders(pool)
        await orders.add(an_order("o-1"))
        await asyncio.gather(*(orders.get("o-1") for _ in range(4)))
        await proxy.drop()

        for _ in range(4):
            await orders.get("o-1")


async def test_calls_succeed_as_soon_as_the_server_is_back(clean_database: str) -> None:
    async with through_a_proxy(clean_database) as (pool, proxy):
        orders = PostgresOrders(pool)
        await orders.add(an_order("o-1"))
        await proxy.cut()
        until = time.monotonic() + 9  # long enough for pauses that double to have grown to several seconds
        while time.monotonic() < until:
            with pytest.raises(Unavailable):
                await orders.get("o-1")
        await proxy.allow()
        began = time.monotonic()

        async def answers() -> bool:
            try:
                return bool(await orders.get("o-1"))
            except Unavailable:
                return False

        await eventually(answers, within=20)
        assert time.monotonic() - began < 3


async def test_a_standby_is_unavailable_for_orders(clean_database: str) -> None:
    """As after a failover that made the connected server a standby."""
    standby = make_conninfo(clean_database, options="-c default_transaction_read_only=on")
    async with create_pool(standby, size=1, wait_seconds=1) as pool:
        with pytest.raises(Unavailable):
            await PostgresOrders(pool).add(an_order("o-1"))


async def test_a_claim_ended_by_the_server_is_unavailable(clean_database: str) -> None:
    """As for a relay that was frozen while it waited for the broker's confirmation."""
    impatient = make_conninfo(clean_database, options="-c idle_in_transaction_session_timeout=50")
    async with create_pool(impatient, size=1, wait_seconds=1) as pool:
        await PostgresOrders(pool).add(an_order("o-1"))
        with pytest.raises(Unavailable):
            async with PostgresOutbox(pool).claiming(10) as claim:
                await eventually(partial(_no_idle_transaction, clean_database))
                await claim.settle([None])


async def _no_idle_transaction(conninfo: str) -> bool:
    """Whether no transaction is idle in this database."""
    query = "select 1 from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        return await (await connection.execute(query)).fetchone() is None
