"""The contract of `Leases`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from gofleet.adapters.redis.leases import RedisLeases
from gofleet.ports import Lease, Leases, LeaseState
from gofleet.testing.leases import MemoryLeases
from tests.ports.redises import SERVERS, a_client
from tests.waiting import eventually

# (lease_ms, done_seconds) -> leases
Make = Callable[[int, float], Leases]


@pytest.fixture(params=["memory", *SERVERS])
async def make(request: pytest.FixtureRequest) -> AsyncGenerator[Make]:
    if request.param == "memory":
        yield lambda lease_ms, done_seconds: MemoryLeases(lease_ms=lease_ms, done_seconds=done_seconds)
        return
    async with a_client(request, request.param) as (redis, prefix):
        yield lambda lease_ms, done_seconds: RedisLeases(
            redis, prefix=prefix, lease_ms=lease_ms, done_seconds=done_seconds
        )


@pytest.fixture
def leases(make: Make) -> Leases:
    return make(15_000, 60)


async def state(leases: Leases, token: str, key: str = "e-1") -> LeaseState:
    return (await leases.acquire(key, token)).state


async def test_one_of_many_concurrent_callers_gets_the_lease(leases: Leases) -> None:
    answers = await asyncio.gather(*(state(leases, f"t-{number}") for number in range(20)))

    assert sorted(answers) == [LeaseState.ACQUIRED, *[LeaseState.BUSY] * 19]


async def test_a_busy_lease_has_its_remaining_seconds(leases: Leases) -> None:
    await leases.acquire("e-1", "a")

    busy = await leases.acquire("e-1", "b")

    assert busy.state is LeaseState.BUSY
    assert 10 < busy.seconds_left <= 15


async def test_an_owned_lease_is_acquired_again(leases: Leases) -> None:
    await leases.acquire("e-1", "a")

    assert await leases.acquire("e-1", "a") == Lease(LeaseState.ACQUIRED)


async def test_acquiring_an_owned_lease_prolongs_it(leases: Leases) -> None:
    async def left() -> float:
        return (await leases.acquire("e-1", "b")).seconds_left

    async def is_running_down() -> bool:
        return await left() < 14.97

    await leases.acquire("e-1", "a")
    await eventually(is_running_down)
    shorter = await left()

    await leases.acquire("e-1", "a")

    assert await left() > shorter


async def test_leases_of_different_keys_are_independent(leases: Leases) -> None:
    await leases.acquire("e-1", "a")

    assert await state(leases, "b", "e-2") is LeaseState.ACQUIRED


async def test_a_lease_expires(make: Make) -> None:
    leases = make(50, 60)
    await leases.acquire("e-1", "a")

    async def mine() -> bool:
        return await state(leases, "b") is LeaseState.ACQUIRED

    await eventually(mine)


async def test_a_finished_lease_is_done_for_every_caller(leases: Leases) -> None:
    await leases.acquire("e-1", "a")
    await leases.finish("e-1", "a")

    assert await state(leases, "a") is LeaseState.DONE
    assert await state(leases, "b") is LeaseState.DONE


async def test_a_finished_lease_expires(make: Make) -> None:
    leases = make(15_000, 0.05)
    await leases.finish("e-1", "a")

    async def mine() -> bool:
        return await state(leases, "b") is LeaseState.ACQUIRED

    await eventually(mine)


async def test_a_lease_that_has_ended_can_still_be_finished(leases: Leases) -> None:
    await leases.finish("e-1", "a")

    assert await state(leases, "b") is LeaseState.DONE


async def test_a_lease_of_another_token_cannot_be_finished(leases: Leases) -> None:
    await leases.acquire("e-1", "a")
    await leases.finish("e-1", "b")

    assert await state(leases, "c") is LeaseState.BUSY


async def test_a_released_lease_is_free_at_once(leases: Leases) -> None:
    await leases.acquire("e-1", "a")
    await leases.release("e-1", "a")

    assert await state(leases, "b") is LeaseState.ACQUIRED


async def test_only_an_owned_lease_can_be_released(leases: Leases) -> None:
    await leases.acquire("e-1", "a")
    await leases.release("e-1", "b")
    assert await state(leases, "b") is LeaseState.BUSY

    await leases.finish("e-1", "a")
    await leases.release("e-1", "a")
    assert await state(leases, "b") is LeaseState.DONE


async def test_a_lease_is_taken_over_from_its_holder(leases: Leases) -> None:
    await leases.acquire("e-1", "a")

    assert await leases.take_over("e-1", "b", await leases.acquire("e-1", "b"))

    assert await state(leases, "a") is LeaseState.BUSY
    await leases.finish("e-1", "a")
    await leases.release("e-1", "a")
    assert await leases.acquire("e-1", "b") == Lease(LeaseState.ACQUIRED)


async def test_a_done_mark_can_be_taken_over(leases: Leases) -> None:
    await leases.finish("e-1", "a")

    assert await leases.take_over("e-1", "b", await leases.acquire("e-1", "b"))

    assert await state(leases, "b") is LeaseState.ACQUIRED


async def test_of_two_that_saw_the_same_lease_one_takes_it_over(leases: Leases) -> None:
    await leases.acquire("e-1", "a")
    seen = await leases.acquire("e-1", "b")

    taken = [await leases.take_over("e-1", token, seen) for token in ("b", "c")]

    assert taken == [True, False]
    assert await state(leases, "b") is LeaseState.ACQUIRED


async def test_a_lease_that_has_changed_is_not_taken_over(leases: Leases) -> None:
    await leases.acquire("e-1", "a")
    seen = await leases.acquire("e-1", "b")

    await leases.finish("e-1", "a")
    assert not await leases.take_over("e-1", "b", seen)
    assert await state(leases, "b") is LeaseState.DONE

    await leases.acquire("e-2", "a")
    seen = await leases.acquire("e-2", "b")
    await leases.release("e-2", "a")
    assert not await leases.take_over("e-2", "b", seen)
    assert await state(leases, "c", "e-2") is LeaseState.ACQUIRED
