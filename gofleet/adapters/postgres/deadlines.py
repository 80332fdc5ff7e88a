"""Whether orders had their driver in time, asked of all orders: one that waits for ever leaves no other trace."""

from __future__ import annotations

from gofleet.adapters.postgres.links import Pool, link_from
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.indicators import DISPATCH_SECONDS
from gofleet.telemetry.metrics import ORDERS_DEADLINE_MISSED, ORDERS_DUE

DEADLINES = Queries("deadlines")
LATE_SECONDS = 5.0
"""An order is judged so long after its deadline: its time is taken before its commit, which may have had to wait."""
MOST_SECONDS = 600.0
"""So much of the past at once."""


class PostgresDeadlines:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def judge(self) -> tuple[int, int]:
        """Count the orders that came of age since the last time, whoever asked then: how many, and how many of them had
        no driver in time. What dies between commit and count is not counted again."""
        values = {"after": DISPATCH_SECONDS + LATE_SECONDS, "bound": DISPATCH_SECONDS, "most": MOST_SECONDS}
        async with link_from(self._pool) as link:
            row = await (await link.execute(DEADLINES.judge, values)).fetchone()
        due, missed = row or (0, 0)
        ORDERS_DUE.inc(due)
        ORDERS_DEADLINE_MISSED.inc(missed)
        return due, missed
