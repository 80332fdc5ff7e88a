"""Whether orders had their driver in time, asked of all orders: one that waits for ever leaves no other trace."""

from __future__ import annotations

from typing import NamedTuple

from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.indicators import DISPATCH_SECONDS
from gofleet.telemetry.metrics import ORDERS_DEADLINE_MISSED, ORDERS_DUE

DEADLINES = Queries("deadlines")
LATE_SECONDS = 5.0
"""An order is judged so long after its deadline: its time is taken before its commit, which may have had to wait."""


class DeadlineCounts(NamedTuple):
    """How many orders were due, how many of them had no driver in time, and whether there are `more` to be judged."""

    due: int
    missed: int
    more: bool


class PostgresDeadlines:
    """`batch` orders are judged in one statement."""

    def __init__(self, pool: Pool, batch: int = 5000) -> None:
        self._pool = pool
        self._batch = batch

    async def evaluate(self) -> DeadlineCounts:
        """Count some of the orders that came of age since the last time, whoever asked then. What dies between commit
        and count is not counted again."""
        values = {"after": DISPATCH_SECONDS + LATE_SECONDS, "bound": DISPATCH_SECONDS, "batch": self._batch}
        async with acquire(self._pool) as link:
            row = await (await link.execute(DEADLINES.judge, values, prepare=False)).fetchone()
        assert row is not None  # noqa: S101  counts always have a row
        judged = DeadlineCounts(*row)
        ORDERS_DUE.inc(judged.due)
        ORDERS_DEADLINE_MISSED.inc(judged.missed)
        return judged
