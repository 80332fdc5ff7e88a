"""Orders, outbox and inbox in memory: the same promises as PostgreSQL's, readable in one sitting."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from gofleet.domain.errors import AlreadyHandled, DriverBusy, GoFleetError, MessageRefused, OrderNotFound, StaleOrder
from gofleet.domain.events import DispatchRequested, OrderEvent, to_json
from gofleet.domain.history import HistoryCursor, HistoryEntry, change_kind
from gofleet.domain.messages import Message, Receipt
from gofleet.domain.order import Order, Status
from gofleet.ports import Holding, OrderFilter
from gofleet.telemetry.tracing import current_trace_id


@dataclass
class _OutboxRow:
    message: Message
    published_at: datetime | None = None
    claimed: bool = False
    attempts: int = 0
    failed_at: datetime | None = None
    error: str | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class MemoryOrders:
    """Nothing here awaits in the middle of a change, so every method is atomic."""

    rows: dict[str, Order] = field(default_factory=dict[str, Order])
    outbox: list[_OutboxRow] = field(default_factory=list[_OutboxRow])
    inbox: dict[Receipt, str] = field(default_factory=dict[Receipt, str])
    noted_at: dict[Receipt, datetime] = field(default_factory=dict[Receipt, datetime])
    epochs: dict[str, int] = field(default_factory=dict[str, int])
    log: list[HistoryEntry] = field(default_factory=list[HistoryEntry])

    async def add(self, order: Order) -> bool:
        if order.id in self.rows:
            return False
        order.created_at = order.pending_since = order.as_of = datetime.now(UTC)
        self._keep(order)
        return True

    async def get(self, order_id: str) -> Order:
        if order_id not in self.rows:
            raise OrderNotFound(order_id)
        order = copy.deepcopy(self.rows[order_id])
        order.as_of = datetime.now(UTC)
        return order

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        stored = self.rows.get(order.id)
        if stored is None or stored.version != order.stored_version:
            raise StaleOrder(order.id, order.stored_version)
        if receipt is not None and receipt in self.inbox:
            raise AlreadyHandled(receipt.consumer, receipt.event_id)
        if order.status is Status.DISPATCHED and any(
            other.status is Status.DISPATCHED and other.driver_id == order.driver_id and other.id != order.id
            for other in self.rows.values()
        ):
            raise DriverBusy(str(order.driver_id))
        if receipt is not None:
            self.record(receipt, order.status.value.lower())
        self.epochs.pop(order.id, None)
        self._stamp(order)
        self._keep(order)

    async def list(self, criteria: OrderFilter, limit: int) -> Sequence[Order]:
        def wanted(order: Order) -> bool:
            assert order.created_at is not None  # noqa: S101  stored orders have it
            return (
                (criteria.status is None or order.status is criteria.status)
                and (criteria.driver_id is None or order.driver_id == criteria.driver_id)
                and (criteria.created_after is None or order.created_at > criteria.created_after)
                and order.is_of(criteria.owner)
                and (criteria.before is None or (order.created_at, order.id) < criteria.before)
            )

        found = sorted(filter(wanted, self.rows.values()), key=lambda order: (order.created_at, order.id), reverse=True)
        return copy.deepcopy(found[:limit])

    async def count_open(self, customer_id: str, limit: int) -> int:
        return min(limit, sum(order.customer_id == customer_id and order.is_open for order in self.rows.values()))

    async def overdue(self, seconds: float, limit: int) -> Sequence[Order]:
        found = [await self.get(order.id) for order in self.rows.values() if order.status is Status.PENDING]
        found = [order for order in found if order.waited_seconds() > seconds]
        return sorted(found, key=_since)[:limit]  # not by how long each had waited when it was read

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
            self._announce(DispatchRequested(order_id=order.id, sequence=order.version, epoch=epoch))
        return [order.id for order in due]

    async def live(self, after: Holding | None, limit: int) -> Sequence[Holding]:
        live = [
            Holding(str(order.driver_id), order.id, order.version)
            for order in self.rows.values()
            if order.status is Status.DISPATCHED
        ]
        return sorted(holding for holding in live if after is None or holding > after)[:limit]

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
            self._announce(event)
        order.pending_events.clear()
        self.log.append(self._entry(order))
        self.rows[order.id] = copy.deepcopy(order)

    def _entry(self, order: Order) -> HistoryEntry:
        assert order.actor is not None  # noqa: S101  whoever moved it said so
        assert order.as_of is not None  # noqa: S101  it was stamped
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
        )

    def _announce(self, event: OrderEvent) -> None:
        event = msgspec.structs.replace(event, occurred_at=datetime.now(UTC))
        message = Message(str(event.event_id), event.type, event.order_id, event.sequence, to_json(event))
        self.outbox.append(_OutboxRow(message))


@dataclass
class MemoryInbox:
    """Shares its rows with the orders, as one database would."""

    orders: MemoryOrders

    async def record(self, receipt: Receipt, outcome: str) -> None:
        self.orders.record(receipt, outcome)

    async def outcome(self, receipt: Receipt) -> str | None:
        return self.orders.inbox.get(receipt)

    async def prune(self, days: float, limit: int) -> int:
        old = [receipt for receipt, at in self.orders.noted_at.items() if _older(at, days)][:limit]
        for receipt in old:
            del self.orders.inbox[receipt], self.orders.noted_at[receipt]
        return len(old)


@dataclass
class _Claim:
    _rows: list[_OutboxRow]
    _max_attempts: int

    @property
    def messages(self) -> Sequence[Message]:
        return [row.message for row in self._rows]

    async def settle(self, results: Sequence[GoFleetError | None]) -> None:
        for row, answer in zip(self._rows, results, strict=True):
            row.published_at = datetime.now(UTC) if answer is None else None
            if isinstance(answer, MessageRefused):
                row.attempts, row.error = row.attempts + 1, str(answer)
                row.failed_at = datetime.now(UTC) if row.attempts >= self._max_attempts else None


@dataclass
class MemoryOutbox:
    """Shares its rows with the orders, as one database would."""

    orders: MemoryOrders
    max_attempts: int = 20

    @asynccontextmanager
    async def claiming(self, limit: int) -> AsyncGenerator[_Claim]:
        heads: dict[str, _OutboxRow] = {}
        for row in self.orders.outbox:
            if row.published_at is None:
                heads.setdefault(row.message.order_id, row)
        claimed = [row for row in heads.values() if not row.claimed and row.failed_at is None][:limit]
        for row in claimed:
            row.claimed = True
        try:
            yield _Claim(claimed, self.max_attempts)
        finally:
            for row in claimed:
                row.claimed = False

    async def prune(self, days: float, limit: int) -> int:
        old = [row for row in self.orders.outbox if row.published_at and _older(row.published_at, days)][:limit]
        for row in old:
            self.orders.outbox.remove(row)
        return len(old)


def _since(order: Order) -> datetime:
    assert order.pending_since is not None  # noqa: S101  stored orders have it
    return order.pending_since


def _older(at: datetime, days: float) -> bool:
    return datetime.now(UTC) - at > timedelta(days=days)
