"""When the breaker opens, and how it closes again. The clock is driven by hand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gofleet.domain.errors import FleetUnavailable, NoDriverNearby
from gofleet.guards.breaker import BreakerOpen, RatioBreaker, State


@dataclass
class Rig:
    """A breaker of 10 calls, 60 %, 10 s; open 30 s; 5 probes."""

    now: float = 1000.0
    changes: list[tuple[State, State]] = field(default_factory=list[tuple[State, State]])

    def __post_init__(self) -> None:
        self.breaker = RatioBreaker(
            counts=(FleetUnavailable,),
            clock=lambda: self.now,
            on_change=lambda was, now: self.changes.append((was, now)),
        )

    async def good(self, times: int = 1) -> None:
        for _ in range(times):
            assert await self.breaker.call(self._answer) == "driver"

    async def bad(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(FleetUnavailable):
                await self.breaker.call(self._fail)

    async def refused(self) -> BreakerOpen:
        with pytest.raises(BreakerOpen) as refusal:
            await self.breaker.call(self._answer)
        return refusal.value

    async def tripped(self) -> None:
        await self.bad(10)
        assert self.breaker.state is State.OPEN

    async def hang(self, calls: int) -> list[asyncio.Task[str]]:
        """So many calls under way, and no answer."""
        tasks = [asyncio.create_task(self.breaker.call(asyncio.Event().wait)) for _ in range(calls)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return tasks  # pyright: ignore[reportReturnType]  they never return

    async def _answer(self) -> str:
        return "driver"

    async def _fail(self) -> str:
        raise FleetUnavailable("down")


async def test_it_opens_at_the_tenth_failure_and_its_caller_gets_the_real_error() -> None:
    rig = Rig()
    await rig.bad(9)
    assert rig.breaker.state is State.CLOSED

    await rig.bad()

    assert rig.breaker.state is State.OPEN
    assert (await rig.refused()).retry_after_seconds == 30.0


async def test_six_failures_of_ten_open_it_five_do_not() -> None:
    rig = Rig()
    await rig.good(5)
    await rig.bad(5)
    assert rig.breaker.state is State.CLOSED
    rig.now += 11
    await rig.good(4)
    await rig.bad(6)
    assert rig.breaker.state is State.OPEN


async def test_only_a_failure_opens_it() -> None:
    rig = Rig()
    await rig.bad(9)

    await rig.good()

    assert rig.breaker.state is State.CLOSED


async def test_failures_older_than_the_window_are_forgotten() -> None:
    rig = Rig()
    await rig.bad(9)
    rig.now += 11

    await rig.bad(9)

    assert rig.breaker.state is State.CLOSED


async def test_nobody_near_is_an_answer() -> None:
    rig = Rig()

    async def nobody() -> str:
        raise NoDriverNearby("o-1", 5)

    for _ in range(20):
        with pytest.raises(NoDriverNearby):
            await rig.breaker.call(nobody)

    assert rig.breaker.state is State.CLOSED


async def test_it_stays_open_for_its_time_and_calls_nothing() -> None:
    rig = Rig()
    await rig.tripped()
    rig.now += 29.9

    assert (await rig.refused()).retry_after_seconds == pytest.approx(0.1)
    rig.now += 0.1
    await rig.good()
    assert rig.breaker.state is State.HALF_OPEN


async def test_half_open_admits_only_its_probes() -> None:
    rig = Rig()
    await rig.tripped()
    rig.now += 30

    probes = await rig.hang(5)

    await rig.refused()
    for task in probes:
        task.cancel()
    await asyncio.wait(probes)


async def test_five_good_probes_close_it_and_the_past_is_forgotten() -> None:
    rig = Rig()
    await rig.tripped()
    rig.now += 30
    await rig.good(5)
    assert rig.breaker.state is State.CLOSED

    await rig.bad(9)

    assert rig.breaker.state is State.CLOSED
    assert rig.changes == [
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
    ]


async def test_one_bad_probe_opens_it_again_for_its_whole_time() -> None:
    rig = Rig()
    await rig.tripped()
    rig.now += 30
    await rig.good(4)

    await rig.bad()

    assert (await rig.refused()).retry_after_seconds == 30.0


async def test_cancelled_probes_give_their_places_back() -> None:
    rig = Rig()
    await rig.tripped()
    rig.now += 30
    probes = await rig.hang(5)
    for task in probes:
        task.cancel()
    await asyncio.wait(probes)

    await rig.good(5)

    assert rig.breaker.state is State.CLOSED


async def test_a_late_failure_of_a_call_begun_before_the_trip_changes_nothing() -> None:
    rig, fail_now = Rig(), asyncio.Event()

    async def late() -> str:
        await fail_now.wait()
        raise FleetUnavailable("timed out at last")

    calls = [asyncio.create_task(rig.breaker.call(late)) for _ in range(20)]
    await asyncio.sleep(0)
    await rig.tripped()
    rig.now += 30
    await rig.good(2)
    fail_now.set()
    await asyncio.wait(calls)
    for call in calls:
        assert isinstance(call.exception(), FleetUnavailable)

    assert rig.breaker.state is State.HALF_OPEN
    await rig.good(3)
    assert rig.breaker.state is State.CLOSED


def test_states_have_numbers_for_the_gauge() -> None:
    assert [state.number for state in (State.CLOSED, State.OPEN, State.HALF_OPEN)] == [0, 1, 2]
