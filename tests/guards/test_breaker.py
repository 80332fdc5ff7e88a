"""Circuit breaker, with a manual clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiobreaker import CircuitBreaker, CircuitBreakerError  # pyright: ignore[reportMissingTypeStubs]

from gofleet.guards.breaker import BreakerOpen, BreakerState, RatioBreaker


class Down(Exception):
    """The one failure that counts."""


class DeeplyDown(Down):
    pass


class Answer(Exception):
    """An answer of a working service."""


class Killed(BaseException):
    """Neither an answer nor a failure, as at process exit."""


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """Breaker with its clock, its reported changes, and calls whose end the test controls."""

    breaker: RatioBreaker
    clock: Clock
    changes: list[tuple[BreakerState, BreakerState]] = field(default_factory=list[tuple[BreakerState, BreakerState]])

    @property
    def state(self) -> BreakerState:
        return self.breaker.state

    async def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            assert await self.breaker.call(three) == 3

    async def fail(self, times: int = 1, error: type[Exception] = Down) -> None:
        for _ in range(times):
            with pytest.raises(error):
                await self.breaker.call(raising(error()))

    async def refused(self) -> float:
        """Seconds until the next attempt of a refused call; nothing was called."""
        with pytest.raises(BreakerOpen) as refused:
            await self.breaker.call(never)
        return refused.value.retry_after_seconds

    async def open(self) -> None:
        await self.fail(10)
        assert self.state is BreakerState.OPEN

    async def half_open(self) -> None:
        """Make the breaker half-open, with all slots free and no success."""
        await self.open()
        self.clock.now += 30
        RunningCall(self.breaker).is_cancelled()
        assert self.state is BreakerState.HALF_OPEN

    def running(self, count: int) -> list[RunningCall]:
        return [RunningCall(self.breaker) for _ in range(count)]


class Pause:
    def __await__(self) -> Generator[None]:
        yield


class RunningCall:
    """Running call whose end the test controls."""

    def __init__(self, breaker: RatioBreaker) -> None:
        self._call = breaker.call(self._act)
        self._call.send(None)  # up to its pause; raises if refused

    async def _act(self) -> None:
        await Pause()

    def succeeds(self) -> None:
        with pytest.raises(StopIteration):
            self._call.send(None)

    def fails(self) -> None:
        self._ends_by(Down())

    def is_cancelled(self) -> None:
        self._ends_by(asyncio.CancelledError())

    def _ends_by(self, error: BaseException) -> None:
        with pytest.raises(type(error)):
            self._call.throw(error)


async def three() -> int:
    return 3


async def never() -> None:
    raise AssertionError("a refused call was made")


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def act() -> None:
        raise error

    return act


def a_bench(*, min_calls: int = 10, failure_ratio: float = 0.6, window_seconds: float = 10.0, probes: int = 5) -> Bench:
    clock = Clock()
    breaker = RatioBreaker(
        counts=(Down,),
        min_calls=min_calls,
        failure_ratio=failure_ratio,
        window_seconds=window_seconds,
        open_seconds=30.0,
        probes=probes,
        clock=clock,
    )
    bench = Bench(breaker, clock)
    breaker.on_change = lambda before, after: bench.changes.append((before, after))
    return bench


@pytest.fixture
def bench() -> Bench:
    return a_bench()


class TestWhatOpensIt:
    async def test_stays_closed_below_the_minimum_number_of_calls(self, bench: Bench) -> None:
        await bench.fail(9)
        assert bench.state is BreakerState.CLOSED
        await bench.fail()
        assert bench.state is BreakerState.OPEN

    async def test_opens_at_the_ratio(self, bench: Bench) -> None:
        await bench.succeed(4)
        await bench.fail(6)
        assert bench.state is BreakerState.OPEN

    async def test_stays_closed_below_the_ratio(self, bench: Bench) -> None:
        await bench.succeed(5)
        await bench.fail(7)  # 7 of 12
        assert bench.state is BreakerState.CLOSED
        await bench.fail()  # 8 of 13
        assert bench.state is BreakerState.OPEN

    async def test_a_ratio_reached_exactly_is_not_lost_to_rounding(self) -> None:
        bench = a_bench(min_calls=25, failure_ratio=0.56)
        await bench.succeed(11)
        await bench.fail(14)
        assert bench.state is BreakerState.OPEN

    async def test_successes_between_failures_do_not_hide_them(self, bench: Bench) -> None:
        for _ in range(3):
            await bench.fail(2)
            await bench.succeed()
        await bench.fail()  # 7 of 10, never more than two in a row
        assert bench.state is BreakerState.OPEN

    async def test_a_success_never_opens(self, bench: Bench) -> None:
        await bench.fail(9)
        await bench.succeed()
        assert bench.state is BreakerState.CLOSED
        await bench.fail()
        assert bench.state is BreakerState.OPEN

    async def test_failures_as_old_as_the_window_still_count(self, bench: Bench) -> None:
        await bench.fail(9)
        bench.clock.now += 10
        await bench.fail()
        assert bench.state is BreakerState.OPEN

    async def test_older_failures_do_not_count(self, bench: Bench) -> None:
        await bench.fail(9)
        bench.clock.now += 10.1
        await bench.fail(9)
        assert bench.state is BreakerState.CLOSED

    async def test_older_successes_do_not_count(self, bench: Bench) -> None:
        await bench.succeed(100)
        bench.clock.now += 10.1
        await bench.fail(10)
        assert bench.state is BreakerState.OPEN

    async def test_the_window_slides_call_by_call(self, bench: Bench) -> None:
        await bench.fail(5)
        bench.clock.now += 6
        await bench.succeed(5)
        bench.clock.now += 4.1  # the five failures have expired, the five successes have not
        await bench.fail(7)  # 7 of 12
        assert bench.state is BreakerState.CLOSED
        await bench.fail()
        assert bench.state is BreakerState.OPEN


class TestWhatIsAFailure:
    async def test_other_exceptions_do_not_open(self, bench: Bench) -> None:
        await bench.fail(50, Answer)
        assert bench.state is BreakerState.CLOSED

    async def test_subclasses_of_a_failure_count(self, bench: Bench) -> None:
        await bench.fail(10, DeeplyDown)
        assert bench.state is BreakerState.OPEN

    async def test_other_exceptions_count_as_successes(self, bench: Bench) -> None:
        await bench.fail(5, Answer)
        await bench.fail(7)  # 7 of 12
        assert bench.state is BreakerState.CLOSED
        await bench.fail()
        assert bench.state is BreakerState.OPEN

    async def test_several_exceptions_may_count(self) -> None:
        bench = Bench(RatioBreaker(counts=(Down, Answer), min_calls=2), Clock())
        await bench.fail(1, Down)
        await bench.fail(1, Answer)
        assert bench.state is BreakerState.OPEN

    async def test_cancelled_calls_do_not_count(self, bench: Bench) -> None:
        for call in bench.running(10):
            call.is_cancelled()
        await bench.fail(9)
        assert bench.state is BreakerState.CLOSED
        await bench.fail()
        assert bench.state is BreakerState.OPEN


class TestWhatTheCallerGets:
    async def test_returns_the_result(self, bench: Bench) -> None:
        number: int = await bench.breaker.call(three)
        assert number == 3

    @pytest.mark.parametrize("error", [Down("x"), Answer("x"), Killed("x")], ids=repr)
    async def test_raises_the_original_exception(self, bench: Bench, error: BaseException) -> None:
        with pytest.raises(type(error)) as caught:
            await bench.breaker.call(raising(error))
        assert caught.value is error

    async def test_raises_the_original_exception_of_the_call_that_opens(self, bench: Bench) -> None:
        await bench.fail(9)
        last = Down("the tenth")
        with pytest.raises(Down) as caught:
            await bench.breaker.call(raising(last))
        assert caught.value is last
        assert bench.state is BreakerState.OPEN

    async def test_raises_the_original_exception_of_a_failed_probe(self, bench: Bench) -> None:
        await bench.half_open()
        probe = Down("still")
        with pytest.raises(Down) as caught:
            await bench.breaker.call(raising(probe))
        assert caught.value is probe
        assert bench.state is BreakerState.OPEN

    async def test_refuses_with_the_remaining_seconds(self, bench: Bench) -> None:
        await bench.open()
        assert await bench.refused() == 30
        bench.clock.now += 29.5
        assert await bench.refused() == 0.5
        assert not issubclass(BreakerOpen, CircuitBreakerError)

    @pytest.fixture(params=["Europe/Moscow", "America/New_York"])
    def far_zone(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", request.param)
            time.tzset()
            yield
        time.tzset()

    @pytest.mark.usefixtures("far_zone")
    async def test_the_same_seconds_in_every_time_zone(self, bench: Bench) -> None:
        await bench.open()
        assert await bench.refused() == 30
        bench.clock.now += 30
        await bench.succeed(5)
        assert bench.state is BreakerState.CLOSED


class TestHalfOpen:
    async def test_probes_after_the_open_time(self, bench: Bench) -> None:
        await bench.open()
        bench.clock.now += 29.9
        await bench.refused()
        bench.clock.now += 0.1
        await bench.succeed()
        assert bench.state is BreakerState.HALF_OPEN

    async def test_limits_the_number_of_probes(self, bench: Bench) -> None:
        await bench.half_open()
        probes = bench.running(5)
        assert [await bench.refused() for _ in range(15)] == [0.0] * 15
        for probe in probes:
            probe.succeeds()
        assert bench.state is BreakerState.CLOSED

    async def test_limits_the_number_of_concurrent_probes(self, bench: Bench) -> None:
        await bench.half_open()
        gate = asyncio.Event()

        async def open_the_gate() -> None:  # the last one, so all others have started
            gate.set()

        callers = [bench.breaker.call(gate.wait) for _ in range(20)]
        *ends, _ = await asyncio.gather(*callers, open_the_gate(), return_exceptions=True)
        assert [isinstance(end, BreakerOpen) for end in ends] == [False] * 5 + [True] * 15
        assert bench.state is BreakerState.CLOSED

    async def test_the_first_call_after_the_open_time_is_a_probe(self, bench: Bench) -> None:
        await bench.open()
        bench.clock.now += 30
        probes = bench.running(5)
        await bench.refused()
        for probe in probes:
            probe.succeeds()
        assert bench.state is BreakerState.CLOSED

    async def test_closes_after_all_probes_succeeded(self, bench: Bench) -> None:
        await bench.half_open()
        await bench.succeed(4)
        assert bench.state is BreakerState.HALF_OPEN
        await bench.succeed()
        assert bench.state is BreakerState.CLOSED

    async def test_an_uncounted_exception_is_a_success(self, bench: Bench) -> None:
        await bench.half_open()
        await bench.fail(5, Answer)
        assert bench.state is BreakerState.CLOSED

    async def test_a_failed_probe_opens_for_the_whole_time(self, bench: Bench) -> None:
        await bench.half_open()
        await bench.succeed(4)
        bench.clock.now += 7
        await bench.fail()
        assert bench.state is BreakerState.OPEN
        assert await bench.refused() == 30

    async def test_successes_before_a_failed_probe_do_not_count(self, bench: Bench) -> None:
        await bench.half_open()
        await bench.succeed(4)
        await bench.fail()
        bench.clock.now += 30
        await bench.succeed(4)
        assert bench.state is BreakerState.HALF_OPEN

    async def test_a_hanging_probe_takes_one_slot(self) -> None:
        bench = a_bench(probes=2)
        await bench.half_open()
        hanging, quick = bench.running(2)
        quick.succeeds()
        [another] = bench.running(1)
        await bench.refused()
        another.succeeds()
        assert bench.state is BreakerState.CLOSED
        hanging.is_cancelled()

    async def test_a_cancelled_probe_releases_its_slot_without_a_result(self, bench: Bench) -> None:
        await bench.half_open()
        for probe in bench.running(5):
            probe.is_cancelled()
        assert bench.state is BreakerState.HALF_OPEN
        probes = bench.running(5)
        await bench.refused()
        for probe in probes[:4]:
            probe.succeeds()
        assert bench.state is BreakerState.HALF_OPEN
        probes[4].succeeds()
        assert bench.state is BreakerState.CLOSED

    async def test_a_probe_that_times_out_releases_its_slot(self, bench: Bench) -> None:
        await bench.half_open()
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await bench.breaker.call(asyncio.Event().wait)
        assert bench.state is BreakerState.HALF_OPEN
        await bench.succeed(5)
        assert bench.state is BreakerState.CLOSED

    async def test_a_closed_probe_releases_its_slot(self, bench: Bench) -> None:
        await bench.half_open()
        for _ in range(20):
            with pytest.raises(Killed):
                await bench.breaker.call(raising(Killed()))
        assert bench.state is BreakerState.HALF_OPEN
        await bench.succeed(5)
        assert bench.state is BreakerState.CLOSED

    async def test_closing_clears_the_window(self) -> None:
        bench = a_bench(window_seconds=1000)
        await bench.half_open()
        await bench.succeed(5)
        await bench.fail(9)
        assert bench.state is BreakerState.CLOSED
        await bench.fail()
        assert bench.state is BreakerState.OPEN


class TestCallsThatEndLate:
    async def test_late_failures_do_not_extend_the_open_time(self, bench: Bench) -> None:
        late = bench.running(5)
        await bench.open()
        bench.clock.now += 10
        for call in late:
            call.fails()
        assert await bench.refused() == 20
        assert bench.changes == [(BreakerState.CLOSED, BreakerState.OPEN)]

    async def test_late_failures_do_not_open_a_half_open_breaker(self, bench: Bench) -> None:
        [late] = bench.running(1)
        await bench.half_open()
        late.fails()
        assert bench.state is BreakerState.HALF_OPEN

    async def test_late_successes_do_not_count_as_probes(self, bench: Bench) -> None:
        late = bench.running(5)
        await bench.half_open()
        for call in late:
            call.succeeds()
        assert bench.state is BreakerState.HALF_OPEN

    async def test_late_calls_do_not_count_after_closing(self) -> None:
        bench = a_bench(window_seconds=1000)
        late = bench.running(20)
        await bench.half_open()
        await bench.succeed(5)
        for call in late:
            call.fails()
        await bench.fail(9)
        assert bench.state is BreakerState.CLOSED

    async def test_a_late_probe_does_not_extend_the_open_time(self, bench: Bench) -> None:
        await bench.half_open()
        early, late = bench.running(2)
        early.fails()
        bench.clock.now += 10
        late.fails()
        assert await bench.refused() == 20

    async def test_a_late_probe_does_not_close_a_reopened_breaker(self) -> None:
        bench = a_bench(probes=2)
        await bench.half_open()
        await bench.succeed()
        early, late = bench.running(2)
        early.fails()
        late.succeeds()
        assert bench.state is BreakerState.OPEN

    async def test_a_probe_of_an_earlier_half_open_state_has_no_effect(self) -> None:
        bench = a_bench(probes=3)
        await bench.half_open()
        last_time = bench.running(3)
        last_time[0].fails()
        bench.clock.now += 30
        probes = bench.running(3)
        last_time[1].fails()
        last_time[2].succeeds()
        assert bench.state is BreakerState.HALF_OPEN
        await bench.refused()  # their slots belong to the earlier state
        for probe in probes[:2]:
            probe.succeeds()
        assert bench.state is BreakerState.HALF_OPEN
        probes[2].succeeds()
        assert bench.state is BreakerState.CLOSED


class TestWhatItShows:
    async def test_reports_every_change_once_in_order(self, bench: Bench) -> None:
        await bench.open()
        await bench.refused()
        bench.clock.now += 30
        await bench.fail()
        bench.clock.now += 30
        await bench.succeed(20)
        assert bench.changes == [
            (BreakerState.CLOSED, BreakerState.OPEN),
            (BreakerState.OPEN, BreakerState.HALF_OPEN),
            (BreakerState.HALF_OPEN, BreakerState.OPEN),
            (BreakerState.OPEN, BreakerState.HALF_OPEN),
            (BreakerState.HALF_OPEN, BreakerState.CLOSED),
        ]

    async def test_reports_changes_after_they_took_effect(self, bench: Bench) -> None:
        seen: list[BreakerState] = []
        bench.breaker.on_change = lambda _before, _after: seen.append(bench.state)
        await bench.half_open()
        assert seen == [BreakerState.OPEN, BreakerState.HALF_OPEN]

    async def test_aiobreaker_makes_the_calls(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[object] = []
        call_async = cast("Any", CircuitBreaker).call_async

        async def counted(breaker: CircuitBreaker, act: object) -> object:
            calls.append(act)
            return await call_async(breaker, act)

        monkeypatch.setattr(CircuitBreaker, "call_async", counted)
        await bench.open()
        await bench.refused()
        bench.clock.now += 30
        await bench.succeed(5)
        assert len(calls) == 10 + 5

    def test_states_have_names_and_numbers(self) -> None:
        assert [(f"{state}", state.number) for state in BreakerState] == [("closed", 0), ("open", 1), ("half_open", 2)]

    async def test_the_change_callback_is_optional(self) -> None:
        breaker = RatioBreaker(counts=(Down,))
        await Bench(breaker, Clock()).open()

    def test_uses_the_monotonic_clock(self) -> None:
        assert RatioBreaker(counts=(Down,)).clock is time.monotonic


async def test_the_cost_of_a_call_does_not_depend_on_the_window() -> None:
    async def cost(calls_in_window: int) -> float:
        bench = a_bench(min_calls=1, failure_ratio=1.0)
        ends = [three, raising(Down())]

        async def run(calls: int) -> float:
            started = time.process_time()
            for number in range(calls):
                with suppress(Down):
                    await bench.breaker.call(ends[number % 2])
            return time.process_time() - started

        await run(calls_in_window)
        assert bench.state is BreakerState.CLOSED
        return min([await run(100) for _ in range(5)])  # the least disturbed run

    assert await cost(5_000) < 4 * await cost(20)  # counting the window on each call would make it ten times as much
