"""Periodic maintenance: re-publication, escalation after the deadline, retention."""

from __future__ import annotations

from dataclasses import dataclass

from gofleet import failpoints
from gofleet.domain.errors import StaleOrder, Unavailable
from gofleet.domain.order import Order, Reason
from gofleet.domain.principal import SWEEPER
from gofleet.ports import Inbox, Orders, Outbox, Parked


@dataclass(frozen=True)
class RepublishPending:
    """Use case that re-publishes orders that still wait although their event was published, which may be lost.

    Returns their number. A duplicate is harmless: its consumer finds the order no longer waiting.
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
    """Use case that escalates orders which have waited longer than `t_max_seconds`; returns their number.

    It needs only the database: an order whose message was lost with a broker is escalated as well. An unexpected
    failure of one order does not stop the others; all of them are raised at the end as an `ExceptionGroup`.
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
            return False  # changed concurrently: it no longer waits
        return True


@dataclass(frozen=True)
class Retention:
    """Retention in days of published events and ended exclusions, of handled events and of replayed messages."""

    outbox_days: float
    inbox_days: float
    parked_days: float


@dataclass(frozen=True)
class PruneExpiredRows:
    """Use case that deletes a batch of expired rows; returns their number. Unfinished work is never deleted."""

    orders: Orders
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
            + await self.orders.prune_exclusions(self.retention.outbox_days, self.batch)
        )
