"""Token buckets of one process: what `RedisBuckets` does, by a clock of its own."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from gofleet.domain.rate import Rate, TokenGrant

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
