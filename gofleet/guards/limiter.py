"""How often somebody may ask: a token bucket for each, shared by all processes, of which each process holds a handful.

A token is taken from the shared bucket before it is spent here, so all processes together never let more through than
the bucket gives; most requests are answered from the handful, without asking anybody. Tokens that lie here for long are
given up: who asks seldom is far from any limit.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from loguru import logger

from gofleet.domain.errors import RateLimitExceeded, Unavailable

SHARE_DIVISOR = 20
"""The part of a bucket that a process holds, at most: one in so many."""
REFILL_DIVISOR = 4
"""The part of that at which the next one is asked for."""
HOLD_SECONDS = 1.0
SHARED_PAUSE_SECONDS = 1.0
"""For so long nobody asks shared buckets that did not answer."""
KEYS_MAX = 100_000


class Buckets(Protocol):
    """Token buckets, each full at first and filled again at its rate. Losing them all harms nobody."""

    async def take(self, key: str, rate: Rate, most: int) -> TokenGrant: ...  # up to `most`; Unavailable


@dataclass(frozen=True)
class RateLimitStatus:
    """How somebody stands: `left` of `rate.burst` at least, all of them after `full_seconds`."""

    rate: Rate
    left: int
    full_seconds: float


@dataclass
class _Hand:
    """What this process holds of a bucket: `tokens` until a time, or none and no use asking before `again_at`; `behind`
    are those that were left in the bucket."""

    tokens: int = 0
    until: float = 0.0
    again_at: float = 0.0
    behind: int = 0
    filling: asyncio.Task[None] | None = None


class Limiter:
    """Asks `shared`, and while that is away `local`, which then limits each process by itself: nobody is refused for
    an outage of ours."""

    def __init__(self, shared: Buckets, local: Buckets, clock: Callable[[], float] = monotonic) -> None:
        self._shared = shared
        self._local = local
        self._clock = clock
        self._hands: OrderedDict[str, _Hand] = OrderedDict()
        self._rest_until = 0.0
        self._filling: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Nothing is asked of the buckets any more."""
        for task in list(self._filling):
            task.cancel()
        await asyncio.gather(*self._filling, return_exceptions=True)

    def check(self, key: str) -> None:
        """`RateLimitExceeded` if it is known that nothing is left; takes nothing."""
        if (hand := self._hands.get(key)) is not None:
            self._held(hand)

    async def take(self, key: str, rate: Rate) -> RateLimitStatus:
        """One token. `RateLimitExceeded` when there is none."""
        hand = self._hand(key)
        while not self._held(hand):
            await asyncio.shield(self._filled(key, rate, hand))  # whoever gives up takes it from nobody
        hand.tokens -= 1
        if hand.tokens == rate.burst // SHARE_DIVISOR // REFILL_DIVISOR:
            self._filled(key, rate, hand)  # before anybody has to wait for it
        left = hand.tokens + hand.behind
        return RateLimitStatus(rate, left, (rate.burst - left) / rate.per_second)

    def _held(self, hand: _Hand) -> bool:
        now = self._clock()
        if hand.tokens > 0 and now < hand.until:
            return True
        if hand.again_at > now:
            raise RateLimitExceeded(hand.again_at - now)
        return False

    def _filled(self, key: str, rate: Rate, hand: _Hand) -> asyncio.Task[None]:
        """Its being filled, begun now if it is not yet: all who wait wait for the same, and go on together."""
        if hand.filling is None or hand.filling.done():
            hand.filling = asyncio.create_task(self._fill(key, rate, hand))
            self._filling.add(hand.filling)
            hand.filling.add_done_callback(self._filling.discard)
        return hand.filling

    async def _fill(self, key: str, rate: Rate, hand: _Hand) -> None:
        given = await self._asked(key, rate, max(1, rate.burst // SHARE_DIVISOR))
        now = self._clock()
        held = hand.tokens if now < hand.until else 0
        hand.tokens, hand.behind, hand.until = held + given.tokens, given.left, now + HOLD_SECONDS
        if not given.tokens:
            hand.again_at = now + min(given.wait_seconds, HOLD_SECONDS)

    async def _asked(self, key: str, rate: Rate, most: int) -> TokenGrant:
        if self._clock() >= self._rest_until:
            try:
                return await self._shared.take(key, rate, most)
            except Unavailable as error:
                self._rest_until = self._clock() + SHARED_PAUSE_SECONDS
                logger.warning("limits hold for this process alone: {}", error)
        return await self._local.take(key, rate, most)

    def _hand(self, key: str) -> _Hand:
        hand = self._hands.get(key)
        if hand is None:
            hand = self._hands[key] = _Hand()
            if len(self._hands) > KEYS_MAX:
                self._hands.popitem(last=False)
        return hand


"""Token buckets of one process: what `RedisBuckets` does, by a clock of its own."""


MOST_KEYS = 100_000


class MemoryBuckets:
    """`Buckets`, by a `clock` in seconds. Of more than `MOST_KEYS` the oldest are forgotten, and thereby full."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    async def take(self, key: str, rate: Rate, most: int) -> TokenGrant:
        now, interval = self._clock(), 1 / rate.per_second
        full_at = max(self._full_at.get(key, 0.0), now)
        there = int((rate.burst * interval - (full_at - now)) / interval + 1e-9)
        given = min(there, most)
        if given < 1:
            return TokenGrant(0, 0, interval - (rate.burst * interval - (full_at - now)))
        self._full_at[key] = full_at + given * interval
        if len(self._full_at) > MOST_KEYS:
            self._full_at.popitem(last=False)
        return TokenGrant(given, there - given, 0.0)


"""How often somebody may do something."""


@dataclass(frozen=True)
class Rate:
    """How often somebody may ask: `burst` times at once, and `per_second` in the long run."""

    per_second: float
    burst: int


@dataclass(frozen=True)
class TokenGrant:
    """What a bucket gave: `tokens`, with `left` in it; if none, there is one after `wait_seconds`."""

    tokens: int
    left: int
    wait_seconds: float
