"""A circuit breaker that trips on the share of failed calls in a sliding window.

aiobreaker makes the calls and tells failures from answers; its states are replaced by ours. Its own know only
consecutive failures, let every caller probe, hide the error of the call that trips, and misread the wall clock.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeVar

from aiobreaker import CircuitBreaker, CircuitBreakerState  # pyright: ignore[reportMissingTypeStubs]
from aiobreaker.state import CircuitBreakerBaseState  # pyright: ignore[reportMissingTypeStubs]

from gofleet.domain.driver import Candidate
from gofleet.domain.errors import FleetBreakerOpen
from gofleet.ports import DriverSearch, Search

T = TypeVar("T")


class BreakerState(StrEnum):
    """What happens to the next call: it goes through, is refused, or is a probe if there is a place for it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"

    @property
    def number(self) -> int:
        """0, 1 or 2, for a gauge."""
        return list(BreakerState).index(self)


class BreakerOpen(Exception):
    """The call was not made. `retry_after_seconds` is 0 while all probes are out: nobody knows when one ends."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"breaker open, retry after {retry_after_seconds:.1f} s")
        self.retry_after_seconds = retry_after_seconds


@dataclass(kw_only=True, eq=False)
class RatioBreaker(CircuitBreaker):
    """Leaves a failing service alone for `open_seconds`, then lets a few probes find out whether it is back.

    Only the exceptions in `counts` are failures: with any other the far end has answered. For one event loop, and
    by `call` alone: the other ways in that aiobreaker hands down do not know our states.
    """

    counts: tuple[type[Exception], ...]
    min_calls: int = 10
    failure_ratio: float = 0.6
    window_seconds: float = 10.0
    open_seconds: float = 30.0  # and until the next call: time alone changes no state
    probes: int = 5  # so many at once, and so many successes to close
    clock: Callable[[], float] = time.monotonic
    on_change: Callable[[BreakerState, BreakerState], None] | None = None

    def __post_init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  # untyped
        self._state: _Stay = _Closed(self)

    @property
    def state(self) -> BreakerState:  # pyright: ignore[reportIncompatibleMethodOverride]  # theirs gives the machinery
        return self._state.name

    async def call(self, act: Callable[[], Awaitable[T]]) -> T:  # pyright: ignore[reportIncompatibleMethodOverride]  # theirs blocks
        """Do `act` and hand on its result or its exception; or refuse with `BreakerOpen`, and do nothing."""
        return await self._state.run(act)

    def is_system_error(self, exception: Exception) -> bool:
        return isinstance(exception, self.counts)

    def move(self, here: _Stay, there: type[_Stay]) -> None:
        """A call reports to the stay that admitted it, and only the present stay moves us: late ends do nothing."""
        if self._state is here:
            self._state = there(self)
            self._state_storage.state = self._state.state  # what aiobreaker's `current_state` shows
            if self.on_change:
                self.on_change(here.name, there.name)


class _Stay(CircuitBreakerBaseState):
    name: ClassVar[BreakerState]

    def __init__(self, breaker: RatioBreaker) -> None:
        super().__init__(breaker, CircuitBreakerState[self.name.name])  # pyright: ignore[reportUnknownMemberType]  # untyped
        self.breaker, self.since = breaker, breaker.clock()

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        return await self.call_async(act)  # pyright: ignore[reportReturnType, reportUnknownMemberType]  # says Awaitable[T], gives T


class _Closed(_Stay):
    name = BreakerState.CLOSED

    def __init__(self, breaker: RatioBreaker) -> None:
        super().__init__(breaker)
        self._window, self._failures = deque[tuple[float, bool]](), 0

    def on_success(self) -> None:
        self._note(failed=False)

    def on_failure(self, exception: Exception) -> None:
        self._note(failed=True)
        calls, rules = len(self._window), self.breaker
        if calls >= rules.min_calls and self._failures / calls >= rules.failure_ratio:  # 0.56 * 25 is more than 14
            self.breaker.move(self, _Open)

    def _note(self, *, failed: bool) -> None:
        now = self.breaker.clock()
        self._window.append((now, failed))
        self._failures += failed
        while self._window[0][0] < now - self.breaker.window_seconds:
            self._failures -= self._window.popleft()[1]


class _Open(_Stay):
    name = BreakerState.OPEN

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        left_seconds = self.since + self.breaker.open_seconds - self.breaker.clock()
        if left_seconds > 0:
            raise BreakerOpen(left_seconds)
        self.breaker.move(self, _HalfOpen)
        return await self.breaker.call(act)


class _HalfOpen(_Stay):
    name = BreakerState.HALF_OPEN
    _out = _successes = 0

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        if self._out >= self.breaker.probes:
            raise BreakerOpen(0.0)
        self._out += 1
        try:
            return await super().run(act)
        finally:  # cancelled ones too: were they to keep their places, we would stay half-open for ever
            self._out -= 1

    def on_success(self) -> None:
        self._successes += 1
        if self._successes >= self.breaker.probes:
            self.breaker.move(self, _Closed)

    def on_failure(self, exception: Exception) -> None:
        self.breaker.move(self, _Open)


"""The circuit breaker around the fleet service: the innermost guard, right at the call it protects."""


@dataclass(frozen=True)
class GuardedFleet:
    """The fleet service, left alone while its breaker is open. Only `FleetUnavailable` counts against it."""

    fleet: DriverSearch
    breaker: RatioBreaker

    async def search(self, search: Search) -> list[Candidate]:
        try:
            return await self.breaker.call(lambda: self.fleet.search(search))
        except BreakerOpen as error:
            raise FleetBreakerOpen(error.retry_after_seconds) from error
