"""Concurrent script calls share writes, and each gets its own response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from gofleet.adapters.redis.leases import RedisLeases
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.errors import Unavailable
from gofleet.ports import Lease, LeaseState
from tests.ports.redises import SERVERS, a_client

CALLERS = 50


@pytest.fixture(params=SERVERS)
async def server(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[Redis, str]]:
    async with a_client(request, request.param) as (redis, prefix):
        yield redis, prefix


@pytest.fixture
def leases(server: tuple[Redis, str]) -> RedisLeases:
    redis, prefix = server
    return RedisLeases(redis, prefix=prefix)


async def statistic(server: tuple[Redis, str], section: str, name: str) -> Any:
    return (await cast("Any", server[0]).info(section)).get(name)


async def ran(server: tuple[Redis, str]) -> int:
    return int((await statistic(server, "commandstats", "cmdstat_evalsha"))["calls"])


async def test_concurrent_calls_share_few_writes(server: tuple[Redis, str], leases: RedisLeases) -> None:
    await leases.acquire("warm", "a")
    before = int(await statistic(server, "stats", "total_reads_processed"))

    answers = await asyncio.gather(*(leases.acquire(f"e-{number}", "a") for number in range(CALLERS)))

    assert answers == [Lease(LeaseState.ACQUIRED)] * CALLERS
    assert int(await statistic(server, "stats", "total_reads_processed")) - before < CALLERS / 5


async def test_an_error_of_one_call_reaches_only_its_caller(server: tuple[Redis, str]) -> None:
    redis, prefix = server
    positions = RedisPositions(redis, prefix=prefix, stale_seconds=60, claim_ms=1000)
    await redis.set(f"{prefix}busy:bia", "no hash")

    calls = [positions.occupy(driver_id, f"o-{driver_id}", 2) for driver_id in ("ana", "bia", "caio")]
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)

    assert (first, third) == (None, None)
    assert isinstance(second, Unavailable)
    assert "WRONGTYPE" in str(second)
    await redis.delete(f"{prefix}busy:bia")
    assert {one.driver_id for one in await positions.holdings()} == {"ana", "caio"}


async def test_reloads_an_unknown_script_without_repeating_the_calls_that_ran(
    server: tuple[Redis, str], leases: RedisLeases
) -> None:
    redis, _ = server
    await cast("Any", redis).script_flush()
    await leases.acquire("e-1", "a")  # loads one script only
    before = await ran(server)

    mine, _, other = await asyncio.gather(
        leases.acquire("e-2", "a"), leases.finish("e-1", "a"), leases.acquire("e-3", "a")
    )

    assert mine == other == Lease(LeaseState.ACQUIRED)
    assert (await leases.acquire("e-1", "b")).state is LeaseState.DONE
    assert await ran(server) - before == 3 + 1 + 1


async def test_calls_survive_concurrent_script_flushes(server: tuple[Redis, str], leases: RedisLeases) -> None:
    redis, _ = server
    await leases.acquire("warm", "a")

    async def forget() -> None:
        for _ in range(10):
            await cast("Any", redis).script_flush()

    *answers, _ = await asyncio.gather(*(leases.acquire(f"e-{n}", "a") for n in range(CALLERS)), forget())

    assert answers == [Lease(LeaseState.ACQUIRED)] * CALLERS
