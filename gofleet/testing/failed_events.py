"""Events that the broker has refused too often, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gofleet.domain.errors import CountMismatch
from gofleet.ports import FailedEvent
from gofleet.testing.orders import MemoryOrders


@dataclass
class MemoryFailedEvents:
    """Shares its rows with the orders, as one database would; an event's id is its place there."""

    orders: MemoryOrders

    async def list(self, before: int | None, limit: int) -> Sequence[FailedEvent]:
        found = [self._shown(id) for id in self._ids() if before is None or id < before]
        return list(reversed(found))[:limit]

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

    def _shown(self, id: int) -> FailedEvent:
        row = self.orders.outbox[id - 1]
        assert row.failed_at is not None  # noqa: S101  that is how it was found
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
            held_back=sum(one.message.order_id == message.order_id and not one.published_at for one in later),
        )
