"""Which events each consumer has handled, in PostgreSQL."""

from __future__ import annotations

from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.messages import Receipt
from gofleet.telemetry.metrics import INBOX_DUPLICATES

INBOX = Queries("inbox")


class PostgresInbox:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, receipt: Receipt, outcome: str) -> None:
        values = {"consumer": receipt.consumer, "event_id": receipt.event_id, "outcome": outcome}
        async with acquire(self._pool) as link:
            await link.execute(INBOX.note, values, prepare=True)

    async def outcome(self, receipt: Receipt) -> str | None:
        async with acquire(self._pool) as link:
            found = await link.execute(INBOX.outcome, {"consumer": receipt.consumer, "event_id": receipt.event_id})
            row = await found.fetchone()
        if row is None:
            return None
        INBOX_DUPLICATES.labels(receipt.consumer).inc()  # only who has the message again asks what became of it
        return row[0]

    async def prune(self, days: float, limit: int) -> int:
        async with acquire(self._pool) as link:
            return (await link.execute(INBOX.prune, {"days": days, "limit": limit})).rowcount
