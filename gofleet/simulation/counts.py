"""Numbers of orders by status, read from PostgreSQL: other clients create and move orders, too."""

from __future__ import annotations

from dataclasses import dataclass

from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.domain.order import Status

COUNT = "select status, count(*) from orders group by status"


@dataclass(frozen=True)
class Counts:
    """Orders by status; `under_way` are dispatched, `by_hand` escalated to manual dispatch."""

    waiting: int = 0
    under_way: int = 0
    delivered: int = 0
    by_hand: int = 0
    cancelled: int = 0

    @property
    def created(self) -> int:
        return self.waiting + self.under_way + self.delivered + self.by_hand + self.cancelled


async def count_orders(pool: Pool) -> Counts:
    """Counts at this moment; `Unavailable` if PostgreSQL is."""
    async with acquire(pool) as connection:
        rows = await (await connection.execute(COUNT)).fetchall()
    by_status = {str(status): int(count) for status, count in rows}
    return Counts(
        waiting=by_status.get(Status.PENDING, 0),
        under_way=by_status.get(Status.DISPATCHED, 0),
        delivered=by_status.get(Status.DELIVERED, 0),
        by_hand=by_status.get(Status.MANUAL_DISPATCH, 0),
        cancelled=by_status.get(Status.CANCELLED, 0),
    )
