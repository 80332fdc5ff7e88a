"""Transactional outbox and inbox in PostgreSQL: events committed with their orders, and receipts of handled events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from psycopg.rows import DictRow

from gofleet.adapters.postgres.pool import Connection, Pool, acquire, fetch_rows
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import CountMismatch, GoFleetError, MessageRefused
from gofleet.domain.messages import Message, Receipt
from gofleet.ports import FailedEvent
from gofleet.telemetry.metrics import INBOX_DUPLICATES

OUTBOX, FAILED, INBOX = Queries("outbox"), Queries("failed"), Queries("inbox")
LAG_COUNT_MAX = 100_000
"""The count of a longer backlog stops here."""
FULL_SCAN_SECONDS = 1.0
"""At least this often a claim searches from the start of the backlog."""


@dataclass
class PostgresClaim:
    """Rows locked by this transaction; when a relay dies, its locks end with its connection."""

    messages: Sequence[Message]
    ids: Sequence[int]
    _connection: Connection
    _max_attempts: int
    published: bool = False
    """Whether the broker confirmed all of them."""

    async def settle(self, results: Sequence[GoFleetError | None]) -> bool:
        settled = list(zip(self.ids, results, strict=True))
        confirmed = [id for id, result in settled if result is None]
        behind = None
        if confirmed:
            cursor = await self._connection.execute(OUTBOX.published, {"ids": confirmed}, prepare=True)
            behind = await cursor.fetchone()
        for id, result in settled:
            if isinstance(result, MessageRefused):
                values = {"id": id, "error": str(result)[:500], "max_attempts": self._max_attempts}
                await self._connection.execute(OUTBOX.refused, values)
        self.published = len(confirmed) == len(settled)
        return bool(behind and behind[0])


class PostgresOutbox:
    """While claims are full and published completely, the next one searches behind the last: otherwise each would pass
    the dead index entries of a long backlog again. After any other claim, and every `FULL_SCAN_SECONDS`, the search
    starts at the beginning: later events of an order are there, and those refused, released or committed late.
    """

    def __init__(self, pool: Pool, *, max_attempts: int = 20) -> None:
        self._pool = pool
        self._max_attempts = max_attempts
        self._after = 0
        self._full_scan_at = 0.0

    @asynccontextmanager
    async def claiming(self, limit: int) -> AsyncGenerator[PostgresClaim]:
        after, self._after = self._next_start(), 0  # if this claim fails, the next one searches from the start
        async with acquire(self._pool) as connection, connection.transaction():
            rows = await _claim(connection, after, limit)
            if after and len(rows) < limit:
                rows = await _claim(connection, 0, limit)
            claim = PostgresClaim(
                [_message_of(row) for row in rows], [row["id"] for row in rows], connection, self._max_attempts
            )
            yield claim
        if claim.published and len(rows) == limit:
            self._after = claim.ids[-1]

    async def lag(self) -> tuple[int, float]:
        """The number of unpublished events, `LAG_COUNT_MAX` at most, and the age of the oldest in seconds."""
        async with acquire(self._pool) as connection:
            row = await (await connection.execute(OUTBOX.lag, {"most": LAG_COUNT_MAX})).fetchone()
        return row or (0, 0.0)

    async def prune(self, days: float, limit: int) -> int:
        async with acquire(self._pool) as connection:
            return (await connection.execute(OUTBOX.prune, {"days": days, "limit": limit})).rowcount

    def _next_start(self) -> int:
        if (now := monotonic()) < self._full_scan_at:
            return self._after
        self._full_scan_at = now + FULL_SCAN_SECONDS
        return 0


class PostgresFailedEvents:
    """Events of the outbox that the broker refused at every attempt."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list(self, before: int | None, limit: int) -> Sequence[FailedEvent]:
        async with acquire(self._pool) as connection:
            rows = await fetch_rows(connection, FAILED.list, {"before": before, "limit": limit})
        return [FailedEvent(**row) for row in rows]

    async def count(self) -> int:
        async with acquire(self._pool) as connection:
            row = await (await connection.execute(FAILED.count)).fetchone()
        return row[0] if row else 0

    async def retry(self, expected_count: int) -> None:
        async with acquire(self._pool) as connection:
            row = await (await connection.execute(FAILED.retry, {"expected_count": expected_count})).fetchone()
        (failed,) = row or (0,)
        if failed != expected_count:
            raise CountMismatch(expected_count, failed)


class PostgresInbox:
    """Receipts of the events that each consumer has handled."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, receipt: Receipt, outcome: str) -> None:
        values = {"consumer": receipt.consumer, "event_id": receipt.event_id, "outcome": outcome}
        async with acquire(self._pool) as connection:
            await connection.execute(INBOX.note, values, prepare=True)

    async def outcome(self, receipt: Receipt) -> str | None:
        values = {"consumer": receipt.consumer, "event_id": receipt.event_id}
        async with acquire(self._pool) as connection:
            row = await (await connection.execute(INBOX.outcome, values)).fetchone()
        if row is None:
            return None
        INBOX_DUPLICATES.labels(receipt.consumer).inc()  # only a consumer of a redelivered message looks it up
        return row[0]

    async def prune(self, days: float, limit: int) -> int:
        async with acquire(self._pool) as connection:
            return (await connection.execute(INBOX.prune, {"days": days, "limit": limit})).rowcount


async def _claim(connection: Connection, after: int, limit: int) -> list[DictRow]:
    return await fetch_rows(connection, OUTBOX.claim, {"after": after, "limit": limit}, prepare=True)


def _message_of(row: DictRow) -> Message:
    return Message(
        event_id=str(row["event_id"]),
        type=row["event_type"],
        order_id=row["aggregate_id"],
        sequence=row["seq"],
        body=row["payload"].encode(),
        traceparent=row["traceparent"],
    )
