from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.actor import SWEEPER
from gofleet.domain.errors import StaleOrder, Unavailable
from gofleet.domain.order import Order, Reason
from gofleet.ports import Orders


@dataclass(frozen=True)
class SweepOrders:
    """Hand to people what has waited for a driver for too long, whatever the cause; returns how many.

    This asks nobody but the database: an order whose message was lost with a broker still ends with somebody.
    An order that cannot be saved for a reason nobody foresaw does not keep the others waiting: all such reasons are
    raised together at the end, as an `ExceptionGroup`.
    """

    orders: Orders
    t_max_seconds: float
    batch: int

    async def __call__(self) -> int:
        swept, failures = 0, list[Exception]()
        for order in await self.orders.overdue(self.t_max_seconds, self.batch):
            try:
                swept += await self._sweep(order)
            except Unavailable:
                raise
            except Exception as error:
                failures.append(error)
        if failures:
            raise ExceptionGroup("some orders could not be swept", failures)
        return swept

    async def _sweep(self, order: Order) -> bool:
        order.send_to_manual(Reason.DEADLINE, by=SWEEPER)
        try:
            await self.orders.save(order)
        except StaleOrder:
            return False  # somebody was faster, which is just as good
        return True
