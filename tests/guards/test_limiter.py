"""Rate limiter over several processes, and without Redis."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gofleet.domain.errors import RateLimitExceeded, Unavailable
from gofleet.guards import limiter as limiting
from gofleet.guards.limiter import Buckets, Limiter, MemoryBuckets, Rate, TokenGrant
from tests.logs import logged

RATE = Rate(per_second=10, burst=100)


@dataclass
class World:
    """Clock and shared buckets that count their calls."""

    now: float = 1000.0
    unavailable: bool = False
    calls: int = 0
    buckets: Buckets = field(init=False)

    def __post_init__(self) -> None:
        self.buckets = MemoryBuckets(self.time)

    def time(self) -> float:
        return self.now

    async def take(self, key: str, rate: Rate, most: int) -> TokenGrant:
        self.calls += 1
        await asyncio.sleep(0)
        if self.unavailable:
            raise Unavailable("redis", "no answer")
        return await self.buckets.take(key, rate, most)

    def process(self) -> Limiter:
        return Limiter(self, MemoryBuckets(self.time), self.time)


@pytest.fixture
def world() -> World:
    return World()


async def admitted(limiter: Limiter, count: int, key: str = "a", rate: Rate = RATE) -> int:
    taken = await asyncio.gather(*(limiter.take(key, rate) for _ in range(count)), return_exceptions=True)
    assert all(isinstance(one, (RateLimitExceeded, limiting.RateLimitStatus)) for one in taken)
    return sum(not isinstance(one, RateLimitExceeded) for one in taken)


async def test_allows_a_burst_and_then_the_rate(world: World) -> None:
    limiter = world.process()
    assert await admitted(limiter, 150) == 100
    world.now += 2
    assert await admitted(limiter, 150) == 20


async def test_processes_share_one_bucket(world: World) -> None:
    processes = [world.process() for _ in range(4)]
    passed = sum([await admitted(one, 60) for one in processes])
    assert 100 - 4 * 5 <= passed <= 100  # each process may hold five unspent tokens


async def test_most_requests_use_prefetched_tokens(world: World) -> None:
    assert await admitted(world.process(), 100) == 100
    assert world.calls <= 21


async def test_refuses_without_asking_the_shared_bucket_again(world: World) -> None:
    limiter = world.process()
    await admitted(limiter, 150)
    calls = world.calls
    assert await admitted(limiter, 200) == 0
    assert world.calls == calls
    with pytest.raises(RateLimitExceeded) as refused:
        limiter.check("a")
    assert 0 < refused.value.retry_after_seconds <= 1


async def test_check_takes_no_token(world: World) -> None:
    limiter = world.process()
    for _ in range(1000):
        limiter.check("a")
    assert await admitted(limiter, 100) == 100


async def test_prefetched_tokens_expire(world: World) -> None:
    first, second = world.process(), world.process()
    await first.take("a", RATE)  # and prefetches four more
    world.now += 0.5
    assert await admitted(second, 150) == 100  # 95, and five refilled ones
    world.now += 0.6
    assert await admitted(first, 150) == 6


async def test_take_returns_the_rate_limit_status(world: World) -> None:
    limiter = world.process()
    standing = await limiter.take("a", RATE)
    assert (standing.left, standing.full_seconds) == (99, pytest.approx(0.1))


async def test_limits_per_process_without_redis(world: World) -> None:
    world.unavailable = True
    limiter = world.process()
    with logged() as lines:
        assert await admitted(limiter, 150) == 100
        assert world.calls == len(lines) == 1  # one call for all requests
        world.now += 1
        world.unavailable = False
        assert await admitted(limiter, 150) == 100  # the shared bucket is still full


async def test_keeps_a_bounded_number_of_keys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "KEYS_MAX", 10)
    limiter = world.process()
    for number in range(100):
        await limiter.take(f"k-{number}", RATE)
    assert len(limiter._prefetched) == 10  # pyright: ignore[reportPrivateUsage]
