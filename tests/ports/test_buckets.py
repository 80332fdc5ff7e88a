"""Token buckets, in memory and in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gofleet.adapters.redis.buckets import RedisBuckets
from gofleet.guards.limiter import Buckets, MemoryBuckets, Rate
from tests.ports.redises import SERVERS, a_client

SLOW = Rate(per_second=0.01, burst=10)
"""A rate so low that no token is added during a test."""


@pytest.fixture(params=["memory", *SERVERS])
async def buckets(request: pytest.FixtureRequest) -> AsyncIterator[Buckets]:
    if request.param == "memory":
        yield MemoryBuckets()
        return
    async with a_client(request, request.param) as (redis, prefix):
        yield RedisBuckets(redis, prefix=prefix)


async def test_a_bucket_is_full_at_first_and_gives_no_more_than_it_has(buckets: Buckets) -> None:
    assert (await buckets.take("a", SLOW, 3)).tokens == 3
    given = await buckets.take("a", SLOW, 100)
    assert (given.tokens, given.left) == (7, 0)
    refused = await buckets.take("a", SLOW, 1)
    assert refused.tokens == 0
    assert 90 < refused.wait_seconds <= 100


async def test_each_key_has_its_own_bucket(buckets: Buckets) -> None:
    assert (await buckets.take("a", SLOW, 10)).tokens == 10
    assert (await buckets.take("b", SLOW, 4)).left == 6


async def test_tokens_grow_with_time_up_to_a_full_bucket(buckets: Buckets) -> None:
    fast = Rate(per_second=50, burst=5)
    assert (await buckets.take("a", fast, 5)).tokens == 5
    refused = await buckets.take("a", fast, 1)
    assert refused.tokens == 0
    await asyncio.sleep(refused.wait_seconds + 0.005)
    assert (await buckets.take("a", fast, 1)).tokens == 1
    await asyncio.sleep(0.3)
    assert (await buckets.take("a", fast, 100)).tokens == 5


async def test_concurrent_callers_get_no_more_than_the_bucket_holds(buckets: Buckets) -> None:
    given = await asyncio.gather(*(buckets.take("a", SLOW, 1) for _ in range(50)))
    assert sum(one.tokens for one in given) == 10
