"""Orders, their history and their indicators in memory, with the guarantees of the PostgreSQL adapters."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add

import msgspec

from gofleet.domain.driver import Driver
from gofleet.domain.errors import AlreadyHandled, DriverBusy, OrderNotFound, StaleOrder, UnknownCursor
from gofleet.domain.events import DispatchRequested, OrderEvent, to_json
from gofleet.domain.history import HistoryCursor, HistoryEntry, HistoryFilter, HistoryPage, change_kind
from gofleet.domain.indicators import DISPATCH, DISPATCH_SECONDS, SUCCESS, Indicator, RequestCounts, request_indicators
from gofleet.domain.messages import Message, Receipt
from gofleet.domain.order import Order, OrderFilter, Owner, Status, order_ids
from gofleet.domain.principal import WORKER
from gofleet.ports import Holding
from gofleet.telemetry.tracing import current_trace_id


@dataclass
class OutboxRow:
    """An event of the outbox; `claimed` while a relay publishes it."""

    message: Message
    published_at: datetime | None = None
    claimed: bool = False
    attempts: int = 0
    failed_at: datetime | None = None
    error: str | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Exclusion:
    """Driver that automatic dispatch passes over for an order, since the transition of `version`."""

    order_id: str
    version: int
    driver_id: str
    until: datetime


@dataclass
class MemoryOrders:
    """No method awaits in the middle of a change, so every method is atomic. Without `drivers`, which `MemoryDrivers`
    adds, every driver is registered."""

    rows: dict[str, Order] = field(default_factory=dict[str, Order])
    drivers: dict[str, Driver] | None = None
    outbox: list[OutboxRow] = field(default_factory=list[OutboxRow])
    inbox: dict[Receipt, str] = field(default_factory=dict[Receipt, str])
    noted_at: dict[Receipt, datetime] = field(default_factory=dict[Receipt, datetime])
    epochs: dict[str, int] = field(default_factory=dict[str, int])
    log: list[HistoryEntry] = field(default_factory=list[HistoryEntry])
    exclusions: list[Exclusion] = field(default_factory=list[Exclusion])

    async def add(self, order: Order) -> bool:
        former = self.rows.get(order.client_order_id or "")
        if order.id in self.rows or (former is not None and former.customer_id == order.customer_id):
            return False
        order.created_at = order.pending_since = order.as_of = datetime.now(UTC)
        self._keep(order)
        return True

    async def get(self, order_id: str, owner: Owner | None = None) -> Order:
        for id in order_ids(order_id, owner):
            if id in self.rows and self.rows[id].is_of(owner):
                order = copy.deepcopy(self.rows[id])
                order.as_of = datetime.now(UTC)
                return order
        raise OrderNotFound(order_id)

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        stored = self.rows.get(order.id)
        if stored is None or stored.version != order.stored_version:
            raise StaleOrder(order.id, order.stored_version)
        if receipt is not None and receipt in self.inbox:
            raise AlreadyHandled(receipt.consumer, receipt.event_id)
        if order.status is Status.DISPATCHED and self.drivers is not None and order.driver_id not in self.drivers:
            raise DriverBusy(str(order.driver_id))
        if order.status is Status.DISPATCHED and any(
            other.status is Status.DISPATCHED and other.driver_id == order.driver_id and other.id != order.id
            for other in self.rows.values()
        ):
            raise DriverBusy(str(order.driver_id))
        machine = order.status is Status.DISPATCHED and order.actor == WORKER
        if machine and order.driver_id in self._excluded(order.id):
            raise DriverBusy(str(order.driver_id))
        if receipt is not None:
            self.record(receipt, order.status.value.lower())
        self.epochs.pop(order.id, None)
        order.created_at, order.pending_since = stored.created_at, stored.pending_since
        self._stamp(order)
        if stored.driver_id and order.exclusion_seconds:
            until = datetime.now(UTC) + timedelta(seconds=order.exclusion_seconds)
            self.exclusions.append(Exclusion(order.id, order.version, stored.driver_id, until))
        self._keep(order)

    async def change(self, order: Order) -> None:
        stored = self.rows.get(order.id)
        if stored is None or stored.version != order.stored_version:
            raise StaleOrder(order.id, order.stored_version)
        order.changed_at = order.as_of = datetime.now(UTC)
        self._keep(order)

    async def list(self, criteria: OrderFilter, limit: int) -> Sequence[Order]:
        orders = filter(criteria.matches, self.rows.values())
        newest = sorted(orders, key=lambda order: (order.created_at, order.id), reverse=True)
        return copy.deepcopy(newest[:limit])

    async def count_open(self, customer_id: str, limit: int) -> int:
        return min(limit, sum(order.customer_id == customer_id and order.is_open for order in self.rows.values()))

    async def overdue(self, seconds: float, limit: int) -> Sequence[Order]:
        pending = [await self.get(order.id) for order in self.rows.values() if order.status is Status.PENDING]
        overdue = [order for order in pending if order.waited_seconds() > seconds]
        return sorted(overdue, key=_pending_since)[:limit]  # not by waited_seconds(), which each get() measures anew

    async def republish_pending(self, after_seconds: float, limit: int) -> Sequence[str]:
        unpublished = {row.message.order_id for row in self.outbox if row.published_at is None}
        due = [
            order
            for order in await self.overdue(after_seconds, len(self.rows))
            if order.id not in unpublished
            and order.waited_seconds() > after_seconds * (2 ** (self.epochs.get(order.id, 0) + 1) - 1)
        ][:limit]
        for order in due:
            epoch = self.epochs[order.id] = self.epochs.get(order.id, 0) + 1
            self._publish(DispatchRequested(order_id=order.id, sequence=order.version, epoch=epoch))
        return [order.id for order in due]

    async def live(self, after: Holding | None, limit: int) -> Sequence[Holding]:
        live = [
            Holding(str(order.driver_id), order.id, order.version)
            for order in self.rows.values()
            if order.status is Status.DISPATCHED
        ]
        return sorted(holding for holding in live if after is None or holding > after)[:limit]

    async def excluded_drivers(self, order_id: str, limit: int) -> Sequence[str]:
        return self._excluded(order_id)[:limit]

    async def prune_exclusions(self, days: float, limit: int) -> int:
        before = datetime.now(UTC) - timedelta(days=days)
        ended = [exclusion for exclusion in self.exclusions if exclusion.until < before][:limit]
        self.exclusions = [exclusion for exclusion in self.exclusions if exclusion not in ended]
        return len(ended)

    def _excluded(self, order_id: str) -> list[str]:
        """All of them."""
        now = datetime.now(UTC)
        running = [each for each in self.exclusions if each.order_id == order_id and each.until > now]
        latest = sorted(running, key=lambda exclusion: exclusion.until, reverse=True)
        return list(dict.fromkeys(exclusion.driver_id for exclusion in latest))

    def record(self, receipt: Receipt, outcome: str) -> None:
        self.inbox.setdefault(receipt, outcome)
        self.noted_at.setdefault(receipt, datetime.now(UTC))

    def _stamp(self, order: Order) -> None:
        now = order.as_of = datetime.now(UTC)
        match order.status:
            case Status.PENDING:
                order.pending_since, order.dispatched_at = now, None
            case Status.DISPATCHED:
                order.dispatched_at = now
            case Status.DELIVERED:
                order.delivered_at = now
            case Status.CANCELLED:
                order.cancelled_at = now
            case Status.MANUAL_DISPATCH:
                pass

    def _keep(self, order: Order) -> None:
        for event in order.pending_events:
            self._publish(event)
        order.pending_events.clear()
        self.log.append(self._entry(order))
        self.rows[order.id] = copy.deepcopy(order)

    def _entry(self, order: Order) -> HistoryEntry:
        assert order.actor is not None  # noqa: S101  every transition has an actor
        assert order.as_of is not None  # noqa: S101  set by add and save
        was, turn = self.rows.get(order.id), len(self.log) + 1
        return HistoryEntry(
            cursor=HistoryCursor(turn, turn),
            order_id=order.id,
            sequence=order.version,
            kind=change_kind(was.status if was else None, order.status),
            status=order.status,
            driver_id=order.driver_id,
            customer_id=order.customer_id,
            was_driver_id=was.driver_id if was else None,
            reason=order.reason if order.status is Status.MANUAL_DISPATCH else None,
            actor=order.actor,
            at=order.as_of,
            trace_id=current_trace_id(),
            client_order_id=order.client_order_id,
        )

    def _publish(self, event: OrderEvent) -> None:
        event = msgspec.structs.replace(event, occurred_at=datetime.now(UTC))
        message = Message(str(event.event_id), event.type, event.order_id, event.sequence, to_json(event))
        self.outbox.append(OutboxRow(message))


@dataclass
class MemoryHistory:
    """Shares its entries with the orders, as in one database. Entries are placed at once, so none is ever held back."""

    orders: MemoryOrders

    async def of(self, order_id: str, limit: int) -> Sequence[HistoryEntry]:
        entries = [entry for entry in self.orders.log if entry.order_id == order_id]
        if not entries:
            raise OrderNotFound(order_id)
        return entries[:limit]

    async def now(self) -> HistoryCursor:
        return self._end()

    async def after(self, cursor: HistoryCursor, criteria: HistoryFilter, limit: int) -> HistoryPage:
        if cursor > self._end():
            raise UnknownCursor
        entries = [entry for entry in self.orders.log if entry.cursor > cursor][:limit]
        more = bool(entries) and entries[-1].cursor < self._end()
        until = entries[-1].cursor if entries else cursor
        return HistoryPage([entry for entry in entries if criteria.matches(entry)], until, more, held_back=False)

    def _end(self) -> HistoryCursor:
        return self.orders.log[-1].cursor if self.orders.log else HistoryCursor(0, 0)


@dataclass
class MemoryIndicators:
    """Shares its rows with the orders, as in one database."""

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
        first_transitions: dict[str, HistoryEntry] = {}
        for entry in self.orders.log:
            if entry.status is not Status.PENDING:
                first_transitions.setdefault(entry.order_id, entry)
        in_time = due = dispatched = settled = 0
        for order in self.orders.rows.values():
            if order.created_at is None or order.created_at <= since:
                continue
            first = first_transitions.get(order.id)
            became = first.status if first else None
            if order.created_at <= now - bound:
                due += became is not Status.CANCELLED
                in_time += bool(first and became is Status.DISPATCHED and first.at - order.created_at <= bound)
            dispatched += became is Status.DISPATCHED
            settled += became in (Status.DISPATCHED, Status.MANUAL_DISPATCH)
        return [
            *request_indicators(reduce(add, counted, RequestCounts())),
            Indicator(DISPATCH, in_time, due),
            Indicator(SUCCESS, dispatched, settled),
        ]


def _pending_since(order: Order) -> datetime:
    assert order.pending_since is not None  # noqa: S101  stored orders have it
    return order.pending_since
