"""Transactional outbox and inbox in memory, over the rows of `MemoryOrders`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gofleet.domain.errors import CountMismatch, GoFleetError, MessageRefused
from gofleet.domain.messages import Message, Receipt
from gofleet.ports import FailedEvent
from gofleet.testing.orders import MemoryOrders, OutboxRow


@dataclass
class MemoryOutbox:
    """Shares its rows with the orders, as in one database."""

    orders: MemoryOrders
    max_attempts: int = 20

    @asynccontextmanager
    async def claiming(self, limit: int) -> AsyncGenerator[_Claim]:
        heads: dict[str, OutboxRow] = {}
        for row in self.orders.outbox:
            if row.published_at is None:
                heads.setdefault(row.message.order_id, row)
        claimed = [row for row in heads.values() if not row.claimed and row.failed_at is None][:limit]
        for row in claimed:
            row.claimed = True
        try:
            yield _Claim(claimed, self.orders.outbox, self.max_attempts)
        finally:
            for row in claimed:
                row.claimed = False

    async def prune(self, days: float, limit: int) -> int:
        old = [row for row in self.orders.outbox if row.published_at and _older(row.published_at, days)][:limit]
        for row in old:
            self.orders.outbox.remove(row)
        return len(old)


@dataclass
class MemoryFailedEvents:
    """Shares its rows with the orders, as in one database. The id of an event is its index there, from 1."""

    orders: MemoryOrders

    async def list(self, before: int | None, limit: int) -> Sequence[FailedEvent]:
        oldest_first = [self._event(id) for id in self._ids() if before is None or id < before]
        return oldest_first[::-1][:limit]

    async def count(self) -> int:
        return len(self._ids())

    async def retry(self, expected_count: int) -> None:
        ids = self._ids()
        if len(ids) != expected_count:
            raise CountMismatch(expected_count, len(ids))
        for id in ids:
            row = self.orders.outbox[id - 1]
            row.failed_at, row.attempts = None, 0

    def _ids(self) -> list[int]:
        return [id for id, row in enumerate(self.orders.outbox, 1) if row.failed_at and not row.published_at]

    def _event(self, id: int) -> FailedEvent:
        row = self.orders.outbox[id - 1]
        assert row.failed_at is not None  # noqa: S101  _ids selects by it
        message, later = row.message, self.orders.outbox[id:]
        return FailedEvent(
            id=id,
            event_id=message.event_id,
            type=message.type,
            order_id=message.order_id,
            sequence=message.sequence,
            attempts=row.attempts,
            error=row.error,
            created_at=row.created_at,
            failed_at=row.failed_at,
            held_back=sum(row.message.order_id == message.order_id and not row.published_at for row in later),
        )


@dataclass
class MemoryInbox:
    """Shares its rows with the orders, as in one database."""

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
    _rows: list[OutboxRow]
    _outbox: list[OutboxRow]
    _max_attempts: int

    @property
    def messages(self) -> Sequence[Message]:
        return [row.message for row in self._rows]

    async def settle(self, results: Sequence[GoFleetError | None]) -> bool:
        for row, result in zip(self._rows, results, strict=True):
            row.published_at = datetime.now(UTC) if result is None else None
            if isinstance(result, MessageRefused):
                row.attempts, row.error = row.attempts + 1, str(result)
                row.failed_at = datetime.now(UTC) if row.attempts >= self._max_attempts else None
        published = {row.message.order_id for row in self._rows if row.published_at}
        return any(row.published_at is None and row.message.order_id in published for row in self._outbox)


def _older(at: datetime, days: float) -> bool:
    return datetime.now(UTC) - at > timedelta(days=days)
