"""How often somebody may ask, over several processes, and without Redis."""

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
    """A clock, and shared buckets that count who asks them."""

    now: float = 1000.0
    away: bool = False
    asked: int = 0
    buckets: Buckets = field(init=False)

    def __post_init__(self) -> None:
        self.buckets = MemoryBuckets(self.time)

    def time(self) -> float:
        return self.now

    async def take(self, key: str, rate: Rate, most: int) -> TokenGrant:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
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


async def test_a_burst_passes_and_then_the_rate(world: World) -> None:
    limiter = world.process()
    assert await admitted(limiter, 500) == 100
    world.now += 2
    assert await admitted(limiter, 500) == 20


async def test_processes_together_let_no_more_through(world: World) -> None:
    processes = [world.process() for _ in range(4)]
    passed = sum([await admitted(one, 60) for one in processes])
    assert 100 - 4 * 5 <= passed <= 100  # each may hold five that nobody asks it for


async def test_most_requests_ask_nobody(world: World) -> None:
    assert await admitted(world.process(), 100) == 100
    assert world.asked <= 21


async def test_who_is_refused_is_refused_without_asking_again(world: World) -> None:
    limiter = world.process()
    await admitted(limiter, 200)
    asked = world.asked
    assert await admitted(limiter, 1000) == 0
    assert world.asked == asked
    with pytest.raises(RateLimitExceeded) as refused:
        limiter.check("a")
    assert 0 < refused.value.retry_after_seconds <= 1


async def test_checking_takes_nothing(world: World) -> None:
    limiter = world.process()
    for _ in range(1000):
        limiter.check("a")
    assert await admitted(limiter, 100) == 100


async def test_what_is_held_for_long_is_given_up(world: World) -> None:
    first, second = world.process(), world.process()
    await first.take("a", RATE)  # and holds four more
    world.now += 0.5
    assert await admitted(second, 500) == 100  # 95, and five that grew
    world.now += 0.6
    assert await admitted(first, 500) == 6


async def test_each_is_told_how_they_stand(world: World) -> None:
    limiter = world.process()
    standing = await limiter.take("a", RATE)
    assert (standing.left, standing.full_seconds) == (99, pytest.approx(0.1))


async def test_without_redis_each_process_counts_by_itself_and_refuses_nobody_for_that(world: World) -> None:
    world.away = True
    limiter = world.process()
    with logged() as lines:
        assert await admitted(limiter, 500) == 100
        assert world.asked == len(lines) == 1  # and does not wait for it with every request
        world.now += 1
        world.away = False
        assert await admitted(limiter, 500) == 100  # the shared ones have heard of nothing


async def test_no_more_keys_are_kept_than_may_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "KEYS_MAX", 10)
    limiter = world.process()
    for number in range(100):
        await limiter.take(f"k-{number}", RATE)
    assert len(limiter._prefetched) == 10  # pyright: ignore[reportPrivateUsage]
