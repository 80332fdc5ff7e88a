"""How well the promises were kept of late, by what PostgreSQL knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.indicators import DISPATCH, DISPATCH_SECONDS, SUCCESS, Indicator, RequestCounts, request_indicators

INDICATORS = Queries("indicators")


class PostgresIndicators:
    """An answer is given again for `fresh_seconds`: to find it, every order of the window is looked at."""

    def __init__(self, pool: Pool, fresh_seconds: float = 0.0) -> None:
        self._pool = pool
        self._fresh_seconds = fresh_seconds
        self._reading = asyncio.Lock()
        self._known: dict[float, tuple[float, Sequence[Indicator]]] = {}

    async def count(self, process: str, number: int, counts: RequestCounts) -> None:
        values = {
            "process": process,
            "number": number,
            "answered": counts.answered,
            "failed": counts.failed,
            "ingests": counts.ingests,
            "fast_ingests": counts.fast_ingests,
        }
        async with acquire(self._pool) as link:
            await link.execute(INDICATORS.count, values)

    async def read(self, window_seconds: float) -> Sequence[Indicator]:
        async with self._reading:  # who asks meanwhile waits for the same answer
            until, found = self._known.get(window_seconds, (0.0, []))
            if time.monotonic() >= until:
                found = await self._read(window_seconds)
                self._known[window_seconds] = time.monotonic() + self._fresh_seconds, found
            return found

    async def _read(self, window_seconds: float) -> Sequence[Indicator]:
        values = {"window": window_seconds, "bound": DISPATCH_SECONDS}
        async with acquire(self._pool) as link:
            # Not prepared: how much of the table is recent is what the plan depends on.
            requests = await (await link.execute(INDICATORS.requests, values, prepare=False)).fetchone()
            orders = await (await link.execute(INDICATORS.orders, values, prepare=False)).fetchone()
        assert requests is not None  # noqa: S101  sums and counts always have a row
        assert orders is not None  # noqa: S101
        in_time, waited, dispatched, settled = orders
        return [
            *request_indicators(RequestCounts(*requests)),
            Indicator(DISPATCH, in_time, waited),
            Indicator(SUCCESS, dispatched, settled),
        ]
