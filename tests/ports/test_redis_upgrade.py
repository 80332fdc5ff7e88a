"""Drivers that an earlier release has left in Redis: it made one of each position, registered or not."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.driver import Driver
from gofleet.ports import Search
from tests.makers import CENTRE, a_position
from tests.ports.redises import a_client

INDEXES = ("free", "seen", "heard")
Old = tuple[Redis, str, RedisPositions]


@pytest.fixture
async def old(request: pytest.FixtureRequest) -> AsyncGenerator[Old]:
    async with a_client(request, "valkey_server") as (redis, prefix):
        client, now = cast("Any", redis), time.time_ns() // 1_000_000
        left = {"name": "ana", "on_duty": "1", "lat": CENTRE.lat, "lng": CENTRE.lng, "recorded_at": now}
        await client.hset(f"{prefix}driver:ana", mapping=left)
        for index in ("free", "seen"):
            await client.geoadd(f"{prefix}drivers:{index}", (CENTRE.lng, CENTRE.lat, "ana"))
        await client.zadd(f"{prefix}drivers:heard", {"ana": now})
        yield redis, prefix, RedisPositions(redis, prefix=prefix, stale_seconds=60, claim_ms=1000)


async def indexed(old: Old) -> set[str]:
    redis, prefix, _ = old
    return {each for each in INDEXES if await cast("Any", redis).zscore(f"{prefix}drivers:{each}", "ana") is not None}


async def searched(positions: RedisPositions) -> None:
    assert await positions.claim_nearest(Search("o-1", CENTRE, 5)) == []


async def freed(positions: RedisPositions) -> None:
    await positions.free("ana", "o-1", 3)


async def moved(positions: RedisPositions) -> None:
    await positions.update_positions([a_position("ana")])


async def unregistered(positions: RedisPositions) -> None:
    await positions.unregister("ana", None)


@pytest.mark.parametrize(
    ("act", "left"), [(searched, "seen heard"), (freed, "seen heard"), (moved, ""), (unregistered, "")]
)
async def test_an_unregistered_driver_leaves_the_indexes(
    old: Old, act: Callable[[RedisPositions], Awaitable[None]], left: str
) -> None:
    assert await indexed(old) == set(INDEXES)

    await act(old[2])

    assert await indexed(old) == set(left.split())
    assert await old[2].nearest(CENTRE, 5, 10) == []


async def test_a_registered_driver_is_free_where_it_was(old: Old) -> None:
    _, _, positions = old
    await positions.register(Driver("ana", "Ana"))

    assert await indexed(old) == set(INDEXES)
    assert [one.name for one in await positions.claim_nearest(Search("o-1", CENTRE, 5))] == ["Ana"]
