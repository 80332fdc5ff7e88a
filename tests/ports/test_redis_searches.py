"""A search among many drivers examines few of them, also after a claim of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.driver import Driver
from gofleet.ports import Search
from tests.makers import CENTRE, a_position, on_the_map
from tests.ports.redises import SERVERS, a_client

DRIVERS = 2000
EXAMINED_MAX = 100
SEARCH = Search("o-1", CENTRE, 5)


@pytest.fixture(params=SERVERS)
async def many(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[Redis, RedisPositions]]:
    async with a_client(request, request.param) as (redis, prefix):
        positions = RedisPositions(redis, prefix=prefix, stale_seconds=60, claim_ms=10_000)
        await on_the_map(positions, [a_position(f"d-{number}", metres_north=2 * number) for number in range(DRIVERS)])
        yield redis, positions


async def examined(redis: Redis) -> int:
    """Drivers examined since the server started."""
    return int((await cast("Any", redis).info("commandstats"))["cmdstat_hmget"]["calls"])


async def test_a_search_among_many_drivers_examines_few(many: tuple[Redis, RedisPositions]) -> None:
    redis, positions = many
    before = await examined(redis)

    found = await positions.claim_nearest(SEARCH)

    assert [one.driver_id for one in found] == [f"d-{number}" for number in range(5)]
    assert await examined(redis) - before < EXAMINED_MAX


@pytest.mark.parametrize("change", ["excluded", "busy", "off duty"])
async def test_a_repeated_search_without_its_claimed_driver_examines_few(
    many: tuple[Redis, RedisPositions], change: str
) -> None:
    redis, positions = many
    [first, *_] = await positions.claim_nearest(SEARCH)
    if change == "busy":
        await positions.occupy(first.driver_id, "o-2", 2)
    if change == "off duty":
        await positions.register(Driver(first.driver_id, "Off duty", on_duty=False))
    before = await examined(redis)

    found = await positions.claim_nearest(replace(SEARCH, exclude=("d-0",) if change == "excluded" else ()))

    assert [one.driver_id for one in found] == [f"d-{number}" for number in range(1, 6)]
    assert await examined(redis) - before < EXAMINED_MAX
