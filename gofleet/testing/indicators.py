"""How well the promises were kept of late, by what was kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add

from gofleet.domain.events import ORDERS_CANCELLED, ORDERS_DISPATCHED, ORDERS_MANUAL_DISPATCH
from gofleet.domain.indicators import DISPATCH, DISPATCH_SECONDS, SUCCESS, Indicator, RequestCounts, request_indicators
from gofleet.testing.orders import MemoryOrders


@dataclass
class MemoryIndicators:
    """Shares its rows with the orders, as one database would."""

    orders: MemoryOrders
    counts: dict[tuple[str, int], tuple[datetime, RequestCounts]] = field(
        default_factory=dict[tuple[str, int], tuple[datetime, RequestCounts]]
    )

    async def count(self, process: str, number: int, counts: RequestCounts) -> None:
        self.counts.setdefault((process, number), (datetime.now(UTC), counts))

    async def read(self, window_seconds: float) -> Sequence[Indicator]:
        now = datetime.now(UTC)
        since, bound = now - timedelta(seconds=window_seconds), timedelta(seconds=DISPATCH_SECONDS)
        counted = [counts for at, counts in self.counts.values() if at > since]
        first_moves = {row.message.order_id: row for row in self.orders.outbox if row.message.sequence == 2}
        in_time = waited = dispatched = settled = 0
        for order in self.orders.rows.values():
            if order.created_at is None or order.created_at <= since:
                continue
            move = first_moves.get(order.id)
            became = move.message.type if move else None
            if order.created_at <= now - bound:
                waited += became != ORDERS_CANCELLED
                in_time += bool(move and became == ORDERS_DISPATCHED and move.created_at - order.created_at <= bound)
            dispatched += became == ORDERS_DISPATCHED
            settled += became in (ORDERS_DISPATCHED, ORDERS_MANUAL_DISPATCH)
        return [
            *request_indicators(reduce(add, counted, RequestCounts())),
            Indicator(DISPATCH, in_time, waited),
            Indicator(SUCCESS, dispatched, settled),
        ]
