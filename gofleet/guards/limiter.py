"""How often somebody may ask: a token bucket for each, shared by all processes, of which each process holds a handful.

A token is taken from the shared bucket before it is spent here, so all processes together never let more through than
the bucket gives; most requests are answered from the handful, without asking anybody. Tokens that lie here for long are
given up: who asks seldom is far from any limit.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from loguru import logger

from gofleet.domain.errors import TooManyRequests, Unavailable
from gofleet.domain.rate import Rate, Taken

PORTION = 20
"""The part of a bucket that a process holds, at most: one in so many."""
HOLD_SECONDS = 1.0
REST_SECONDS = 1.0
"""For so long nobody asks shared buckets that did not answer."""
MOST_KEYS = 100_000


class Buckets(Protocol):
    """Token buckets, each full at first and filled again at its rate. Losing them all harms nobody."""

    async def take(self, key: str, rate: Rate, most: int) -> Taken: ...  # up to `most`; Unavailable


@dataclass(frozen=True)
class Standing:
    """How somebody stands: `left` of `rate.burst` at least, all of them after `full_seconds`."""

    rate: Rate
    left: int
    full_seconds: float


@dataclass
class _Hand:
    """What this process holds of a bucket: `tokens` until a time, or none and no use asking before `again_at`."""

    tokens: int = 0
    until: float = 0.0
    again_at: float = 0.0
    behind: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Limiter:
    """Asks `shared`, and while that is away `local`, which then limits each process by itself: nobody is refused for
    an outage of ours."""

    def __init__(self, shared: Buckets, local: Buckets, clock: Callable[[], float] = monotonic) -> None:
        self._shared = shared
        self._local = local
        self._clock = clock
        self._hands: OrderedDict[str, _Hand] = OrderedDict()
        self._rest_until = 0.0

    def check(self, key: str) -> None:
        """`TooManyRequests` if it is known that nothing is left; takes nothing."""
        hand = self._hands.get(key)
        if hand is not None and (wait := hand.again_at - self._clock()) > 0:
            raise TooManyRequests(wait)

    async def take(self, key: str, rate: Rate) -> Standing:
        """One token. `TooManyRequests` when there is none."""
        hand = self._hand(key)
        if not self._held(hand):
            async with hand.lock:  # those who come meanwhile are answered from what this one brings
                if not self._held(hand):
                    await self._fill(key, rate, hand)
        hand.tokens -= 1
        left = hand.tokens + hand.behind
        return Standing(rate, left, (rate.burst - left) / rate.per_second)

    def _held(self, hand: _Hand) -> bool:
        now = self._clock()
        if hand.again_at > now:
            raise TooManyRequests(hand.again_at - now)
        return hand.tokens > 0 and now < hand.until

    async def _fill(self, key: str, rate: Rate, hand: _Hand) -> None:
        given = await self._asked(key, rate, max(1, rate.burst // PORTION))
        now = self._clock()
        hand.tokens, hand.behind, hand.until = given.tokens, given.left, now + HOLD_SECONDS
        if not given.tokens:
            hand.again_at = now + min(given.wait_seconds, HOLD_SECONDS)
            raise TooManyRequests(given.wait_seconds)

    async def _asked(self, key: str, rate: Rate, most: int) -> Taken:
        if self._clock() >= self._rest_until:
            try:
                return await self._shared.take(key, rate, most)
            except Unavailable as error:
                self._rest_until = self._clock() + REST_SECONDS
                logger.warning("limits hold for this process alone: {}", error)
        return await self._local.take(key, rate, most)

    def _hand(self, key: str) -> _Hand:
        hand = self._hands.get(key)
        if hand is None:
            hand = self._hands[key] = _Hand()
            if len(self._hands) > MOST_KEYS:
                self._hands.popitem(last=False)
        return hand
