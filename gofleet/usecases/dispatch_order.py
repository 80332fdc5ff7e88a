"""Automatic dispatch of an order, and its escalation to manual dispatch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gofleet import failpoints
from gofleet.domain.driver import Candidate
from gofleet.domain.errors import DriverBusy, NoDriverNearby, StaleOrder
from gofleet.domain.events import OrderCreated
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.place import Place
from gofleet.domain.principal import WORKER
from gofleet.ports import DriverSearch, Inbox, Orders, Search

BUSY_DRIVERS_MAX = 50
"""Busy drivers skipped by one attempt: a fleet service that lost its state must not hide the free drivers behind
busy ones."""

EXCLUDED_DRIVERS_MAX = 40
"""Excluded drivers left out of a search, which may name 100 with the busy ones; the store refuses any others."""

FIRST_LIMIT, NEXT_LIMIT = 1, 5
"""Drivers requested by the first search, since the nearest one is nearly always free, and by the following ones."""


@dataclass(frozen=True)
class SearchRadius:
    """Search radius: grows linearly from `radius_km` to `max_radius_km` over `patience_seconds` of waiting."""

    radius_km: float
    max_radius_km: float
    patience_seconds: float

    def after(self, waited_seconds: float) -> float:
        """The radius in km after `waited_seconds`."""
        share = min(waited_seconds / self.patience_seconds, 1.0) if self.patience_seconds > 0 else 1.0
        return self.radius_km + share * max(self.max_radius_km - self.radius_km, 0.0)


@dataclass(frozen=True)
class DispatchOrder:
    """Use case that assigns a waiting order to the nearest free driver not excluded for it; returns the order.

    `NoDriverNearby` and `FleetUnavailable` leave it waiting; the guards decide about a retry. No lock is held during
    the search: of two concurrent calls, one finds the order changed.

    A new order is not read if its event is given (`announced`), which tells where to search; the save decides whether
    the order is still as announced. If that fails for any reason, it is read.
    """

    orders: Orders
    inbox: Inbox
    fleet: DriverSearch
    radius: SearchRadius
    depot: Place | None = None

    async def __call__(self, order_id: str, receipt: Receipt, announced: OrderCreated | None = None) -> Order:
        if announced and (order := await self._dispatch_announced(announced, receipt)):
            return order
        while True:
            order = await self.orders.get(order_id)
            if order.status is not Status.PENDING:
                await self.inbox.record(receipt, f"skipped:{order.status.value.lower()}")
                return order
            try:
                return await self._dispatch(order, receipt)
            except StaleOrder:
                continue  # changed concurrently: read it again

    async def _dispatch(self, order: Order, receipt: Receipt) -> Order:
        pickup = order.pickup or self.depot
        if pickup is None:
            order.send_to_manual(Reason.NO_PICKUP, by=WORKER)
            await self.orders.save(order, receipt)
            return order
        radius_km = self.radius.after(order.waited_seconds())
        excluded, busy = await self._excluded(order), tuple[str, ...]()
        while len(busy) < BUSY_DRIVERS_MAX:
            limit = NEXT_LIMIT if busy else FIRST_LIMIT
            drivers = await self.fleet.search(Search(order.id, pickup, radius_km, limit, exclude=excluded + busy))
            failpoints.hit("worker.after_search")
            if not drivers:
                break
            for driver in drivers:
                if dispatched := await self._assign(order, driver, receipt):
                    return dispatched
            busy += tuple(driver.driver_id for driver in drivers)
        raise NoDriverNearby(order.id, radius_km)

    async def _dispatch_announced(self, event: OrderCreated, receipt: Receipt) -> Order | None:
        """The order, dispatched to the nearest driver; None if that fails, or the event does not suffice to search."""
        order = Order.announced(event)
        pickup = order.pickup or self.depot
        if pickup is None or not pickup.is_valid:
            return None
        drivers = await self.fleet.search(Search(order.id, pickup, self.radius.after(0.0), FIRST_LIMIT))
        failpoints.hit("worker.after_search")
        try:
            return await self._assign(order, drivers[0], receipt) if drivers else None
        except StaleOrder:
            return None

    async def _excluded(self, order: Order) -> tuple[str, ...]:
        """Read after the order, so that they are no older than its version."""
        if not order.may_have_exclusions:
            return ()
        return tuple(await self.orders.excluded_drivers(order.id, EXCLUDED_DRIVERS_MAX))

    async def _assign(self, order: Order, driver: Candidate, receipt: Receipt) -> Order | None:
        """The assigned order; None if the driver holds a live order or is excluded according to the database."""
        assigned = replace(order, pending_events=[])
        assigned.dispatch(driver.driver_id, by=WORKER)
        failpoints.hit("worker.before_commit")
        try:
            await self.orders.save(assigned, receipt)
        except DriverBusy:
            return None
        failpoints.hit("worker.after_commit")
        return assigned


@dataclass(frozen=True)
class SendToManual:
    """Use case that escalates a waiting order to manual dispatch; an order that no longer waits is left unchanged."""

    orders: Orders
    inbox: Inbox

    async def __call__(self, order_id: str, reason: Reason, receipt: Receipt) -> Order:
        while True:
            order = await self.orders.get(order_id)
            if order.status is not Status.PENDING:
                await self.inbox.record(receipt, f"skipped:{order.status.value.lower()}")
                return order
            order.send_to_manual(reason, by=WORKER)
            try:
                await self.orders.save(order, receipt)
            except StaleOrder:
                continue  # changed concurrently: read it again
            return order
