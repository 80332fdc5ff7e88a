from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.errors import StaleOrder
from gofleet.domain.order import Reason
from gofleet.ports import Orders


@dataclass(frozen=True)
class SweepOrders:
    """Hand to people what has waited for a driver for too long, whatever the cause; returns how many.

    This asks nobody but the database: an order whose message was lost with a broker still ends with somebody.
    """

    orders: Orders
    t_max_seconds: float
    batch: int

    async def __call__(self) -> int:
        overdue = await self.orders.overdue(self.t_max_seconds, self.batch)
        swept = 0
        for order in overdue:
            order.send_to_manual(Reason.DEADLINE)
            try:
                await self.orders.save(order)
            except StaleOrder:
                continue  # somebody was faster, which is just as good
            swept += 1
        return swept
