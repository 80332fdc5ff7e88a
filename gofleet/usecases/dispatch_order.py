from __future__ import annotations

from dataclasses import dataclass, replace

from gofleet import failpoints
from gofleet.domain.driver import Candidate
from gofleet.domain.errors import DriverBusy, NoDriverNearby, StaleOrder
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.place import Place
from gofleet.domain.principal import WORKER
from gofleet.ports import DriverSearch, Inbox, Orders, Search

BUSY_DRIVERS_MAX = 50
"""Busy drivers that one try passes over, for a fleet that forgot who is busy must not hide the free behind them."""

FIRST, NEXT = 1, 5
"""Drivers asked for at first, for the nearest nearly always is as free as the fleet thinks, and once one was not."""


@dataclass(frozen=True)
class SearchRadius:
    """How far to look: from `radius_km`, widening to `max_radius_km` while the order's patience runs out."""

    radius_km: float
    max_radius_km: float
    patience_seconds: float

    def after(self, waited_seconds: float) -> float:
        """The radius in km for an order that has waited this long."""
        share = min(waited_seconds / self.patience_seconds, 1.0) if self.patience_seconds > 0 else 1.0
        return self.radius_km + share * max(self.max_radius_km - self.radius_km, 0.0)


@dataclass(frozen=True)
class DispatchOrder:
    """Give a waiting order to the nearest free driver; returns what became of it.

    `NoDriverNearby` and `FleetUnavailable` leave it waiting: what to do then is not decided here.
    Nothing is locked while the fleet is asked; of two who do this at once, one finds the order moved.
    """

    orders: Orders
    inbox: Inbox
    fleet: DriverSearch
    radius: SearchRadius
    depot: Place | None = None

    async def __call__(self, order_id: str, receipt: Receipt) -> Order:
        while True:
            order = await self.orders.get(order_id)
            if order.status is not Status.PENDING:
                await self.inbox.record(receipt, f"skipped:{order.status.value.lower()}")
                return order
            try:
                return await self._dispatch(order, receipt)
            except StaleOrder:
                continue  # moved by somebody else, so this ends: read how

    async def _dispatch(self, order: Order, receipt: Receipt) -> Order:
        pickup = order.pickup or self.depot
        if pickup is None:
            order.send_to_manual(Reason.NO_PICKUP, by=WORKER)
            await self.orders.save(order, receipt)
            return order
        radius_km = self.radius.after(order.waited_seconds())
        busy: tuple[str, ...] = ()
        while len(busy) < BUSY_DRIVERS_MAX:
            limit = NEXT if busy else FIRST
            drivers = await self.fleet.search(Search(order.id, pickup, radius_km, limit, exclude=busy))
            failpoints.hit("worker.after_search")
            if not drivers:
                break
            for driver in drivers:
                if dispatched := await self._give(order, driver, receipt):
                    return dispatched
            busy += tuple(driver.driver_id for driver in drivers)
        raise NoDriverNearby(order.id, radius_km)

    async def _give(self, order: Order, driver: Candidate, receipt: Receipt) -> Order | None:
        """None if the driver turned out to hold a live order, which the database knows best."""
        given = replace(order, pending_events=[])
        given.dispatch(driver.driver_id, by=WORKER)
        failpoints.hit("worker.before_commit")
        try:
            await self.orders.save(given, receipt)
        except DriverBusy:
            return None
        failpoints.hit("worker.after_commit")
        return given


@dataclass(frozen=True)
class SendToManual:
    """Hand a waiting order to people; whatever happened to it meanwhile stands."""

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
                continue  # moved by somebody else, so this ends: read how
            return order
