"""An unavailable synchronous standby: commits wait for it, in a bounded number of sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresOutbox
from gofleet.adapters.postgres.pool import Pool, acquire, check_postgres_writes, create_pool
from gofleet.adapters.postgres.silence import Silence
from gofleet.domain.errors import Unavailable
from gofleet.settings import load
from tests.makers import an_order
from tests.ports.standby import STANDBY, Pair, a_pair, execute
from tests.waiting import eventually

SYNCHRONOUS = {"synchronous_standby_names": STANDBY, "synchronous_commit": "on"}
POOL_SIZE = load({}).postgres.pool_size
AWAY_SECONDS = 8.0
ANSWER_SECONDS = 0.5
BACK_SECONDS = 3.0
SESSIONS = "select count(*) from pg_stat_activity where application_name = 'gofleet' and pid <> pg_backend_pid()"


@asynccontextmanager
async def writers(pool: Pool, number: int) -> AsyncGenerator[list[str]]:
    """Concurrent writers that write without a pause; yields what was written."""
    written, stop = list[str](), asyncio.Event()

    async def write(writer: int) -> None:
        orders = PostgresOrders(pool)
        for attempt in count():
            if stop.is_set():
                return
            try:
                async with acquire(pool) as connection:
                    await connection.execute("select pg_logical_emit_message(true, 'test', '')")
                await orders.add(an_order(f"o-{writer}-{attempt}"))
                written.append(f"o-{writer}-{attempt}")
            except Unavailable:
                await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(write(writer)) for writer in range(number)]
    try:
        yield written
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def sessions(pair: Pair) -> int:
    ((found,),) = await execute(pair.database, SESSIONS)
    return int(str(found))


async def test_a_standby_that_is_away_leaves_a_bounded_number_of_sessions() -> None:
    async with (
        a_pair(SYNCHRONOUS) as pair,
        create_pool(pair.database, size=POOL_SIZE, wait_seconds=1, answer_seconds=ANSWER_SECONDS) as pool,
        writers(pool, POOL_SIZE) as written,
    ):
        await eventually(lambda: len(written) > POOL_SIZE)
        await pair.standby.stop()
        most, until = 0, time.monotonic() + AWAY_SECONDS
        while time.monotonic() < until:
            most = max(most, await sessions(pair))
            await asyncio.sleep(0.2)

        assert POOL_SIZE / 2 < most <= 2 * POOL_SIZE
        with pytest.raises(Unavailable):
            await check_postgres_writes(pool)
        before = len(written)
        await pair.standby.start()
        began = time.monotonic()
        await eventually(lambda: len(written) > before)
        assert time.monotonic() - began < BACK_SECONDS
        await check_postgres_writes(pool)


async def test_a_relay_marks_events_as_published_without_the_standby() -> None:
    """They would be published again after a failover, as after a crash of the relay; orders wait for the standby."""
    async with a_pair(SYNCHRONOUS) as pair, create_pool(pair.database, size=2, wait_seconds=1) as pool:
        await PostgresOrders(pool).add(an_order("o-1"))
        await pair.standby.stop()
        outbox = PostgresOutbox(pool)

        async with asyncio.timeout(5), outbox.claiming(10) as claim:
            await claim.settle([None])

        async with outbox.claiming(10) as claim:
            assert not claim.messages
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await PostgresOrders(pool).add(an_order("o-2"))
        await pair.standby.start()


async def test_probing_survives_unforeseen_errors() -> None:
    outcomes: list[Exception | None] = [RuntimeError("unforeseen"), OSError(24, "too many open files"), None]
    renewed = asyncio.Event()

    async def probe() -> None:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    async def renew() -> None:
        renewed.set()

    silence = Silence(probe, renew)
    silence.begin(1.0)

    await silence.until_ended(10)
    assert silence.is_over
    await eventually(renewed.is_set)
    await silence.close()
