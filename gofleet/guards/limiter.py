"""Rate limiting by token buckets that all processes share.

Each process prefetches a few tokens of a bucket: they are taken from the shared bucket before they are spent, so all
processes together never exceed its rate, and most requests need no round trip. Unspent tokens expire after
`HOLD_SECONDS`, which only affects callers far below their limit.
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
"""A process prefetches at most 1/20 of a bucket."""
REFILL_DIVISOR = 4
"""Prefetching starts again when 1/4 of the prefetched tokens is left."""
HOLD_SECONDS = 1.0
"""Lifetime of prefetched tokens."""
SHARED_PAUSE_SECONDS = 1.0
"""Pause after the shared buckets failed; local buckets are used meanwhile."""
KEYS_MAX = 100_000
"""Buckets remembered by a process; beyond that the oldest are dropped, and thereby full."""


@dataclass(frozen=True)
class Rate:
    """Rate of a token bucket: capacity `burst`, refilled at `per_second` tokens."""

    per_second: float
    burst: int


@dataclass(frozen=True)
class TokenGrant:
    """Result of taking tokens: `left` remain in the bucket; with 0 `tokens`, one is available after `wait_seconds`."""

    tokens: int
    left: int
    wait_seconds: float


class Buckets(Protocol):
    """Port: token buckets by key, initially full. Losing all of them is harmless."""

    async def take(self, key: str, rate: Rate, most: int) -> TokenGrant: ...  # up to `most`; Unavailable


@dataclass(frozen=True)
class RateLimitStatus:
    """State of a caller's bucket: at least `left` of `rate.burst` tokens; full after `full_seconds`."""

    rate: Rate
    left: int
    full_seconds: float


class Limiter:
    """Rate limiter over `shared` buckets, and over `local` ones of this process while those are unavailable.

    An outage of ours refuses no request.
    """

    def __init__(self, shared: Buckets, local: Buckets, clock: Callable[[], float] = monotonic) -> None:
        self._shared = shared
        self._local = local
        self._clock = clock
        self._prefetched: OrderedDict[str, _Prefetched] = OrderedDict()
        self._shared_paused_until = 0.0
        self._fetching: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Cancel running prefetches."""
        for task in list(self._fetching):
            task.cancel()
        await asyncio.gather(*self._fetching, return_exceptions=True)

    def check(self, key: str) -> None:
        """`RateLimitExceeded` if the bucket is known to be empty; takes no token."""
        if (prefetched := self._prefetched.get(key)) is not None:
            self._has_token(prefetched)

    async def take(self, key: str, rate: Rate) -> RateLimitStatus:
        """Take one token. `RateLimitExceeded` without one."""
        prefetched = self._of(key)
        while not self._has_token(prefetched):
            # Shielded: a cancelled request must not cancel the prefetch for the others.
            await asyncio.shield(self._prefetch(key, rate, prefetched))
        prefetched.tokens -= 1
        if prefetched.tokens == rate.burst // SHARE_DIVISOR // REFILL_DIVISOR:
            self._prefetch(key, rate, prefetched)  # before a request has to wait for it
        left = prefetched.tokens + prefetched.remaining
        return RateLimitStatus(rate, left, (rate.burst - left) / rate.per_second)

    def _has_token(self, prefetched: _Prefetched) -> bool:
        now = self._clock()
        if prefetched.tokens > 0 and now < prefetched.until:
            return True
        if prefetched.retry_at > now:
            raise RateLimitExceeded(prefetched.retry_at - now)
        return False

    def _prefetch(self, key: str, rate: Rate, prefetched: _Prefetched) -> asyncio.Task[None]:
        """The running prefetch, started if there is none: all waiting requests share it."""
        if prefetched.fetching is None or prefetched.fetching.done():
            prefetched.fetching = asyncio.create_task(self._fetch(key, rate, prefetched))
            self._fetching.add(prefetched.fetching)
            prefetched.fetching.add_done_callback(self._fetching.discard)
        return prefetched.fetching

    async def _fetch(self, key: str, rate: Rate, prefetched: _Prefetched) -> None:
        grant = await self._take(key, rate, max(1, rate.burst // SHARE_DIVISOR))
        now = self._clock()
        unspent = prefetched.tokens if now < prefetched.until else 0
        prefetched.tokens, prefetched.remaining, prefetched.until = (
            unspent + grant.tokens,
            grant.left,
            now + HOLD_SECONDS,
        )
        if not grant.tokens:
            prefetched.retry_at = now + min(grant.wait_seconds, HOLD_SECONDS)

    async def _take(self, key: str, rate: Rate, most: int) -> TokenGrant:
        if self._clock() >= self._shared_paused_until:
            try:
                return await self._shared.take(key, rate, most)
            except Unavailable as error:
                self._shared_paused_until = self._clock() + SHARED_PAUSE_SECONDS
                logger.warning("rate limits apply per process: {}", error)
        return await self._local.take(key, rate, most)

    def _of(self, key: str) -> _Prefetched:
        prefetched = self._prefetched.get(key)
        if prefetched is None:
            prefetched = self._prefetched[key] = _Prefetched()
            if len(self._prefetched) > KEYS_MAX:
                self._prefetched.popitem(last=False)
        return prefetched


class MemoryBuckets:
    """`Buckets` of one process, by a `clock` in seconds (generic cell rate algorithm). At most `KEYS_MAX` keys."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    async def take(self, key: str, rate: Rate, most: int) -> TokenGrant:
        now, interval = self._clock(), 1 / rate.per_second
        full_at = max(self._full_at.get(key, 0.0), now)
        available = int((rate.burst * interval - (full_at - now)) / interval + 1e-9)
        grant = min(available, most)
        if grant < 1:
            return TokenGrant(0, 0, interval - (rate.burst * interval - (full_at - now)))
        self._full_at[key] = full_at + grant * interval
        if len(self._full_at) > KEYS_MAX:
            self._full_at.popitem(last=False)
        return TokenGrant(grant, available - grant, 0.0)


@dataclass
class _Prefetched:
    """Prefetched tokens of one bucket, valid until `until`; an empty bucket is not asked before `retry_at`.

    `remaining` is the number of tokens that were left in the shared bucket.
    """

    tokens: int = 0
    until: float = 0.0
    retry_at: float = 0.0
    remaining: int = 0
    fetching: asyncio.Task[None] | None = None
