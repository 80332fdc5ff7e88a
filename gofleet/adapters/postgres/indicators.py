"""Service level indicators from PostgreSQL, and the count of orders that missed the dispatch deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

from gofleet.adapters.postgres.pool import Pool, acquire, fetch_rows
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.indicators import DISPATCH, DISPATCH_SECONDS, SUCCESS, Indicator, RequestCounts, request_indicators
from gofleet.telemetry.metrics import ORDERS_DEADLINE_MISSED, ORDERS_DUE

INDICATORS, DEADLINES = Queries("indicators"), Queries("deadlines")
LATE_SECONDS = 5.0
"""Delay of the evaluation after an order's deadline: an order is dated before its commit, which may wait for a lock."""


class PostgresIndicators:
    """Indicators are cached for `fresh_seconds`: computing them reads every order of the window."""

    def __init__(self, pool: Pool, fresh_seconds: float = 0.0) -> None:
        self._pool = pool
        self._fresh_seconds = fresh_seconds
        self._reading = asyncio.Lock()
        self._cached: dict[float, tuple[float, Sequence[Indicator]]] = {}

    async def count(self, process: str, number: int, counts: RequestCounts) -> None:
        async with acquire(self._pool) as connection:
            await connection.execute(INDICATORS.count, {"process": process, "number": number, **asdict(counts)})

    async def read(self, window_seconds: float) -> Sequence[Indicator]:
        async with self._reading:  # concurrent callers share one computation
            until, indicators = self._cached.get(window_seconds, (0.0, []))
            if time.monotonic() >= until:
                indicators = await self._read(window_seconds)
                self._cached[window_seconds] = time.monotonic() + self._fresh_seconds, indicators
            return indicators

    async def _read(self, window_seconds: float) -> Sequence[Indicator]:
        values = {"window": window_seconds, "bound": DISPATCH_SECONDS}
        async with acquire(self._pool) as connection:
            # Not prepared: the best plan depends on how much of the table lies in the window.
            (requests,) = await fetch_rows(connection, INDICATORS.requests, values, prepare=False)
            (orders,) = await fetch_rows(connection, INDICATORS.orders, values, prepare=False)
        return [
            *request_indicators(RequestCounts(**requests)),
            Indicator(DISPATCH, orders["in_time"], orders["due"]),
            Indicator(SUCCESS, orders["dispatched"], orders["settled"]),
        ]


class DeadlineCounts(NamedTuple):
    """How many orders were `due`, how many of them `missed` the deadline, and whether there are `more` to evaluate."""

    due: int
    missed: int
    more: bool


class PostgresDeadlines:
    """Counts how many orders had a driver in time: an order that waits forever leaves no other trace in the metrics.

    `batch` orders are evaluated in one statement.
    """

    def __init__(self, pool: Pool, batch: int = 5000) -> None:
        self._pool = pool
        self._batch = batch

    async def evaluate(self) -> DeadlineCounts:
        """Count the orders that became due since the last evaluation by any relay. A relay that dies between the commit
        and the count loses that count."""
        values = {"after": DISPATCH_SECONDS + LATE_SECONDS, "bound": DISPATCH_SECONDS, "batch": self._batch}
        async with acquire(self._pool) as connection:
            (row,) = await fetch_rows(connection, DEADLINES.evaluate, values, prepare=False)
        counts = DeadlineCounts(**row)
        ORDERS_DUE.inc(counts.due)
        ORDERS_DEADLINE_MISSED.inc(counts.missed)
        return counts
