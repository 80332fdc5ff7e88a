"""What must be true of orders, outbox and inbox after each act, in memory and without any race."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from gofleet.domain.events import ORDERS_DISPATCH_REQUESTED
from gofleet.domain.order import TRANSITIONS, Reason, Status

TYPES: dict[Status, str] = {
    Status.PENDING: "orders.redispatched",
    Status.DISPATCHED: "orders.dispatched",
    Status.MANUAL_DISPATCH: "orders.manual_dispatch",
    Status.DELIVERED: "orders.delivered",
    Status.CANCELLED: "orders.cancelled",
}


STRANGERS = ("zoe",)
"""Drivers without a record. The fleet finds them all the same."""


@dataclass(frozen=True)
class Create:
    order_id: str
    price: int
    has_pickup: bool


@dataclass(frozen=True)
class Move:
    """An operator's request; `Status.PENDING` is a redispatch."""

    order_id: str
    wanted: Status


@dataclass(frozen=True)
class ByHand:
    """An operator dispatches the order to a driver."""

    order_id: str
    driver: str


@dataclass(frozen=True)
class Work:
    """A worker receives what was published as the `number`-th for it (counted around). `drivers` is what the fleet
    finds, nearest first, None a fleet that is not asked, its breaker being open; `patient` = the order may wait longer;
    `redis` = which of two Redis the lease lies in, for a lease that was lost is a lease in another Redis."""

    number: int
    drivers: tuple[str, ...] | None
    patient: bool
    redis: int


@dataclass(frozen=True)
class Sweep:
    """Every waiting order is overdue."""


Act: TypeAlias = Create | Move | ByHand | Work | Sweep


class Heard(NamedTuple):
    """A message that came out of the broker."""

    event_id: str
    order_id: str


@dataclass(frozen=True)
class Known:
    price: int
    has_pickup: bool
    status: Status = Status.PENDING
    version: int = 1
    driver: str | None = None
    reason: Reason | None = None
    excluded: frozenset[str] = frozenset()


class Row(NamedTuple):
    """Of the outbox."""

    order_id: str
    sequence: int
    type: str
    published: bool = False


@dataclass
class Picture:
    """All that is compared with the database; `rows` sorted, `inbox` from event id to outcome."""

    orders: dict[str, Known] = field(default_factory=dict[str, Known])
    rows: list[Row] = field(default_factory=list[Row])
    inbox: dict[str, str] = field(default_factory=dict[str, str])

    def after(self, *acts: Act, heard: list[Heard]) -> Picture:
        """The picture after these acts, one wholly before the next."""
        picture = copy.deepcopy(self)
        for act in acts:
            picture._happens(act, heard)
        return picture

    def moved(self, order_id: str, wanted: Status, driver: str | None = None, reason: Reason | None = None) -> None:
        """One legal move: status, version and exactly one event."""
        known = self.orders[order_id]
        assert wanted in TRANSITIONS[known.status]
        version, excluded = known.version + 1, known.excluded
        if wanted is Status.PENDING and known.driver:
            excluded |= {known.driver}
        if wanted in {Status.CANCELLED, Status.DELIVERED}:
            driver, reason = known.driver, known.reason
        self.orders[order_id] = replace(
            known, status=wanted, version=version, driver=driver, reason=reason, excluded=excluded
        )
        self._announced(Row(order_id, version, TYPES[wanted]))

    def announced_again(self) -> list[str]:
        """A command for each order that waits with nothing unpublished; returns which."""
        silent = {row.order_id for row in self.rows if not row.published}
        again = [id for id, known in self.orders.items() if known.status is Status.PENDING and id not in silent]
        for order_id in again:
            self._announced(Row(order_id, self.orders[order_id].version, ORDERS_DISPATCH_REQUESTED))
        return again

    def heads(self) -> list[Row]:
        """What a relay may claim: of each order the oldest that is unpublished."""
        waiting = [row for row in self.rows if not row.published]
        return [row for row in waiting if not any(_before(other, row) for other in waiting)]

    def published(self, row: Row) -> None:
        self.rows.remove(row)
        self._announced(row._replace(published=True))

    def busy(self) -> dict[str, str]:
        """Driver -> the live order."""
        return {str(known.driver): id for id, known in self.orders.items() if known.status is Status.DISPATCHED}

    def _happens(self, act: Act, heard: list[Heard]) -> None:
        match act:
            case Create(order_id, price, has_pickup):
                if order_id not in self.orders:
                    self.orders[order_id] = Known(price, has_pickup)
                    self._announced(Row(order_id, 1, "orders.created"))
            case Move(order_id, wanted):
                if order_id in self.orders and wanted in TRANSITIONS[self.orders[order_id].status]:
                    self.moved(order_id, wanted)
            case ByHand(order_id, driver):
                legal = order_id in self.orders and Status.DISPATCHED in TRANSITIONS[self.orders[order_id].status]
                if legal and driver not in {*self.busy(), *STRANGERS}:
                    self.moved(order_id, Status.DISPATCHED, driver)
            case Work():
                if heard:
                    self._works(act, heard[act.number % len(heard)])
            case Sweep():
                for order_id, known in list(self.orders.items()):
                    if known.status is Status.PENDING:
                        self.moved(order_id, Status.MANUAL_DISPATCH, reason=Reason.DEADLINE)

    def _works(self, work: Work, message: Heard) -> None:
        known = self.orders[message.order_id]
        if known.status is not Status.PENDING:
            self.inbox.setdefault(message.event_id, f"skipped:{known.status.value.lower()}")
        elif message.event_id not in self.inbox and (becomes := self._becomes(work, known)):
            status, driver, reason = becomes
            self.moved(message.order_id, status, driver, reason)
            self.inbox[message.event_id] = status.value.lower()

    def _becomes(self, work: Work, known: Known) -> tuple[Status, str | None, Reason | None] | None:
        """What a waiting order becomes; None if it waits on."""
        if not known.has_pickup:
            return Status.MANUAL_DISPATCH, None, Reason.NO_PICKUP
        passed_over = {*self.busy(), *STRANGERS, *known.excluded}
        if free := next((driver for driver in work.drivers or () if driver not in passed_over), None):
            return Status.DISPATCHED, free, None
        if work.patient:
            return None
        reason = Reason.FLEET_UNAVAILABLE if work.drivers is None else Reason.NO_DRIVER
        return Status.MANUAL_DISPATCH, None, reason

    def _announced(self, row: Row) -> None:
        self.rows = sorted([*self.rows, row])


def _before(other: Row, row: Row) -> bool:
    return other.order_id == row.order_id and other.sequence < row.sequence
