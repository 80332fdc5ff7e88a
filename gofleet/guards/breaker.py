"""Circuit breaker around the fleet service: opens on the failure ratio in a sliding window.

aiobreaker makes the calls, classifies their errors and reports the outcomes to a listener. Opening, probing and closing
are decided here, because it counts only consecutive failures, lets every caller probe, hides the error of the call that
trips, and uses the wall clock.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, TypeVar, cast

from aiobreaker import CircuitBreaker, CircuitBreakerListener  # pyright: ignore[reportMissingTypeStubs]

from gofleet.domain.driver import Candidate
from gofleet.domain.errors import FleetBreakerOpen
from gofleet.ports import DriverSearch, Search

T = TypeVar("T")


class BreakerState(StrEnum):
    """CLOSED: calls pass. OPEN: calls are refused. HALF_OPEN: a limited number of probes passes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"

    @property
    def number(self) -> int:
        """0, 1 or 2, the value of the gauge."""
        return list(BreakerState).index(self)


class BreakerOpen(Exception):
    """The call was not made. `retry_after_seconds` is 0 while all probes are running, whose end is unknown."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"breaker open, retry after {retry_after_seconds:.1f} s")
        self.retry_after_seconds = retry_after_seconds


@dataclass(kw_only=True, eq=False)
class RatioBreaker:
    """Circuit breaker that stays open for `open_seconds` and then closes after `probes` successful calls.

    Only the exceptions in `counts` are failures: any other one is an answer of the service. For one event loop.
    """

    counts: tuple[type[Exception], ...]
    min_calls: int = 10
    failure_ratio: float = 0.6
    window_seconds: float = 10.0
    open_seconds: float = 30.0  # checked at the next call: no timer changes the state
    probes: int = 5  # concurrent probes, and successes needed to close
    clock: Callable[[], float] = time.monotonic
    on_change: Callable[[BreakerState, BreakerState], None] | None = None

    def __post_init__(self) -> None:
        self._state: _State = _Closed(self)

    @property
    def state(self) -> BreakerState:
        return self._state.name

    async def call(self, act: Callable[[], Awaitable[T]]) -> T:
        """Result or exception of `act`; `BreakerOpen` without calling it."""
        return await self._state.run(act)

    def change_state(self, here: _State, there: type[_State]) -> None:
        """Change the state, unless `here` is no longer current: calls admitted by an earlier state have no effect."""
        if self._state is here:
            self._state = there(self)
            if self.on_change:
                self.on_change(here.name, there.name)


@dataclass(frozen=True)
class GuardedFleet:
    """Driver search behind the circuit breaker, the innermost guard. Only `FleetUnavailable` counts as a failure."""

    fleet: DriverSearch
    breaker: RatioBreaker

    async def search(self, search: Search) -> list[Candidate]:
        try:
            return await self.breaker.call(lambda: self.fleet.search(search))
        except BreakerOpen as error:
            raise FleetBreakerOpen(error.retry_after_seconds) from error


class _State(CircuitBreakerListener):
    """A state; aiobreaker, which never opens by itself, reports the outcomes of the calls that this state admitted."""

    name: ClassVar[BreakerState]

    def __init__(self, breaker: RatioBreaker) -> None:
        self.breaker, self.since = breaker, breaker.clock()
        self._calls = CircuitBreaker(fail_max=sys.maxsize, exclude=[self._is_answer], listeners=[self])

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        return await cast("Any", self._calls).call_async(act)  # its own types are wrong

    def _is_answer(self, error: Exception) -> bool:
        return not isinstance(error, self.breaker.counts)


class _Closed(_State):
    name = BreakerState.CLOSED

    def __init__(self, breaker: RatioBreaker) -> None:
        super().__init__(breaker)
        self._window, self._failures = deque[tuple[float, bool]](), 0

    def success(self, breaker: CircuitBreaker) -> None:
        self._record(failed=False)

    def failure(self, breaker: CircuitBreaker, exception: Exception) -> None:
        self._record(failed=True)
        calls, rules = len(self._window), self.breaker
        # A product would round: 0.56 * 25 > 14.
        if calls >= rules.min_calls and self._failures / calls >= rules.failure_ratio:
            self.breaker.change_state(self, _Open)

    def _record(self, *, failed: bool) -> None:
        now = self.breaker.clock()
        self._window.append((now, failed))
        self._failures += failed
        while self._window[0][0] < now - self.breaker.window_seconds:
            self._failures -= self._window.popleft()[1]


class _Open(_State):
    name = BreakerState.OPEN

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        left_seconds = self.since + self.breaker.open_seconds - self.breaker.clock()
        if left_seconds > 0:
            raise BreakerOpen(left_seconds)
        self.breaker.change_state(self, _HalfOpen)
        return await self.breaker.call(act)


class _HalfOpen(_State):
    name = BreakerState.HALF_OPEN
    _running = _successes = 0

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        if self._running >= self.breaker.probes:
            raise BreakerOpen(0.0)
        self._running += 1
        try:
            return await super().run(act)
        finally:  # cancelled probes too, or the breaker would never leave this state
            self._running -= 1

    def success(self, breaker: CircuitBreaker) -> None:
        self._successes += 1
        if self._successes >= self.breaker.probes:
            self.breaker.change_state(self, _Closed)

    def failure(self, breaker: CircuitBreaker, exception: Exception) -> None:
        self.breaker.change_state(self, _Open)
