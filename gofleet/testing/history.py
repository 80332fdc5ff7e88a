"""The history in memory: what is committed is placed at once, so nothing is ever held back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gofleet.domain.errors import OrderNotFound, UnknownCursor
from gofleet.domain.history import HistoryCursor, HistoryEntry, HistoryFilter, HistoryPage
from gofleet.testing.orders import MemoryOrders


@dataclass
class MemoryHistory:
    """Shares its entries with the orders, as one database would."""

    orders: MemoryOrders

    async def of(self, order_id: str, limit: int) -> Sequence[HistoryEntry]:
        found = [entry for entry in self.orders.log if entry.order_id == order_id]
        if not found:
            raise OrderNotFound(order_id)
        return found[:limit]

    async def now(self) -> HistoryCursor:
        return self._end()

    async def after(self, cursor: HistoryCursor, criteria: HistoryFilter, limit: int) -> HistoryPage:
        if cursor > self._end():
            raise UnknownCursor
        seen = [entry for entry in self.orders.log if entry.cursor > cursor][:limit]
        more = bool(seen) and seen[-1].cursor < self._end()
        until = seen[-1].cursor if seen else cursor
        return HistoryPage([entry for entry in seen if criteria.matches(entry)], until, more, held_back=False)

    def _end(self) -> HistoryCursor:
        return self.orders.log[-1].cursor if self.orders.log else HistoryCursor(0, 0)
