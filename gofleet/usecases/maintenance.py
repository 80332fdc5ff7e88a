from __future__ import annotations

from dataclasses import dataclass

from gofleet import failpoints
from gofleet.domain.errors import StaleOrder, Unavailable
from gofleet.domain.order import Order, Reason
from gofleet.domain.principal import SWEEPER
from gofleet.ports import Inbox, Orders, Outbox, Parked


@dataclass(frozen=True)
class RepublishPending:
    """Announce orders that still wait though their news was published: it, or what was made of it, may be lost.

    Returns how many. Whoever hears of an order twice finds it moved the second time.
    """

    orders: Orders
    after_seconds: float
    batch: int

    async def __call__(self) -> int:
        announced = await self.orders.republish_pending(self.after_seconds, self.batch)
        if announced:
            failpoints.hit("sweeper.after_announce")
        return len(announced)


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


@dataclass(frozen=True)
class Retention:
    """After how many days published events, handled events and replayed messages are forgotten."""

    outbox_days: float
    inbox_days: float
    parked_days: float


@dataclass(frozen=True)
class PruneMessages:
    """Forget a batch of what is long over; returns how many rows. What still waits for anybody is never forgotten."""

    outbox: Outbox
    inbox: Inbox
    parked: Parked
    retention: Retention
    batch: int

    async def __call__(self) -> int:
        return (
            await self.outbox.prune(self.retention.outbox_days, self.batch)
            + await self.inbox.prune(self.retention.inbox_days, self.batch)
            + await self.parked.prune(self.retention.parked_days, self.batch)
        )
