"""A circuit breaker that trips on the share of failed calls in a sliding window.

aiobreaker makes the calls and tells failures from successes; its states are replaced by ours. Its own know only
consecutive failures, let every caller probe, hide the error of the call that trips, and misread the wall clock.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import ClassVar, TypeVar

from aiobreaker import CircuitBreaker, CircuitBreakerState  # pyright: ignore[reportMissingTypeStubs]
from aiobreaker.state import CircuitBreakerBaseState  # pyright: ignore[reportMissingTypeStubs]

T = TypeVar("T")


class State(StrEnum):
    """What happens to the next call: it goes through, is refused, or is a probe if there is a place for it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"

    @property
    def number(self) -> int:
        """0, 1 or 2, for a gauge."""
        return list(State).index(self)


class BreakerOpen(Exception):
    """The call was not made. `retry_after_seconds` is 0 while all probes are out: nobody knows when one ends."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"breaker open, retry after {retry_after_seconds:.1f} s")
        self.retry_after_seconds = retry_after_seconds


class RatioBreaker(CircuitBreaker):
    """Leaves a failing service alone for `open_seconds`, then lets a few probes find out whether it is back.

    Only the exceptions in `counts` are failures; with any other the far end has answered. For one event loop.
    Time alone changes nothing: it is the first call after `open_seconds` that makes an open breaker half-open.
    """

    def __init__(
        self,
        *,
        counts: tuple[type[Exception], ...],
        min_calls: int = 10,
        failure_ratio: float = 0.6,
        window_seconds: float = 10.0,
        open_seconds: float = 30.0,
        probes: int = 5,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[State, State], None] | None = None,
    ) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  # untyped
        self.counts, self.min_calls, self.failure_ratio = counts, min_calls, failure_ratio
        self.window_seconds, self.open_seconds, self.probes = window_seconds, open_seconds, probes
        self.clock, self._on_change = clock, on_change
        self._state: _State = _Closed(self)

    @property
    def state(self) -> State:  # pyright: ignore[reportIncompatibleMethodOverride]  # theirs is the machinery itself
        return self._state.name

    async def call(self, act: Callable[[], Awaitable[T]]) -> T:  # pyright: ignore[reportIncompatibleMethodOverride]  # theirs blocks
        """Do `act` and hand on its result or its exception; or refuse with `BreakerOpen`, and do nothing."""
        return await self._state.run(act)

    call_async = call  # pyright: ignore[reportAssignmentType]  # the inherited one would not know our states

    def is_system_error(self, exception: Exception) -> bool:
        return isinstance(exception, self.counts)

    def open(self) -> None:
        self._enter(_Open(self))

    def half_open(self) -> None:
        self._enter(_HalfOpen(self))

    def close(self) -> None:
        self._enter(_Closed(self))

    def _enter(self, state: _State) -> None:
        before, self._state = self._state, state
        before.over = True
        self._state_storage.state = state.state  # what aiobreaker's `current_state` shows
        if self._on_change:
            self._on_change(before.name, state.name)


class _State(CircuitBreakerBaseState):
    """One stay in a state. A call reports to the stay that admitted it, which hears nothing more once it is over.

    So calls that end late neither open the breaker again nor keep it open, nor count in the window after next.
    """

    name: ClassVar[State]

    def __init__(self, breaker: RatioBreaker) -> None:
        super().__init__(breaker, CircuitBreakerState[self.name.name])  # pyright: ignore[reportUnknownMemberType]  # untyped
        self.breaker = breaker
        self.over = False

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        return await self.call_async(act)  # pyright: ignore[reportReturnType, reportUnknownMemberType]  # says Awaitable[T], gives T

    def on_success(self) -> None:
        if not self.over:
            self.ended(failed=False)

    def on_failure(self, exception: Exception) -> None:
        if not self.over:
            self.ended(failed=True)

    def ended(self, *, failed: bool) -> None:
        """A call has had its answer, or failed; one that was cancelled has had neither."""


class _Closed(_State):
    name = State.CLOSED

    def __init__(self, breaker: RatioBreaker) -> None:
        super().__init__(breaker)
        self._window = deque[tuple[float, bool]]()
        self._failures = 0  # in the window, kept up to date: counting them anew for each call would cost its length

    def ended(self, *, failed: bool) -> None:
        now = self.breaker.clock()
        self._window.append((now, failed))
        self._failures += failed
        while self._window[0][0] < now - self.breaker.window_seconds:
            self._failures -= self._window.popleft()[1]
        calls = len(self._window)
        # Divided, not multiplied: 11 of 20 is 0.55, while 0.55 * 20 is more than 11.
        if failed and calls >= self.breaker.min_calls and self._failures / calls >= self.breaker.failure_ratio:
            self.breaker.open()


class _Open(_State):
    name = State.OPEN

    def __init__(self, breaker: RatioBreaker) -> None:
        super().__init__(breaker)
        self._until = breaker.clock() + breaker.open_seconds

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        left_seconds = self._until - self.breaker.clock()
        if left_seconds > 0:
            raise BreakerOpen(left_seconds)
        self.breaker.half_open()
        return await self.breaker.call(act)


class _HalfOpen(_State):
    name = State.HALF_OPEN

    def __init__(self, breaker: RatioBreaker) -> None:
        super().__init__(breaker)
        self._out = self._successes = 0

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        if self._out >= self.breaker.probes:
            raise BreakerOpen(0.0)
        self._out += 1
        try:
            return await super().run(act)
        finally:  # cancelled ones too: were they to keep their places, we would stay half-open for ever
            self._out -= 1

    def ended(self, *, failed: bool) -> None:
        self._successes += not failed
        if failed:
            self.breaker.open()
        elif self._successes == self.breaker.probes:
            self.breaker.close()
