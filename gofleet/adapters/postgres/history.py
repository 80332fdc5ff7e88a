"""The history in PostgreSQL: the log that a trigger writes at each move (sql/migrations/0007_history.sql)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import TupleRow

from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import OrderNotFound, UnknownCursor
from gofleet.domain.history import HistoryCursor, HistoryEntry, HistoryFilter, HistoryPage, change_kind
from gofleet.domain.order import Reason, Status
from gofleet.telemetry.tracing import set_order_id

HISTORY = Queries("history")
HORIZON = 3
"""Columns that tell how far was looked, before those of the entry."""


class PostgresHistory:
    """A moment is a transaction's number and the id of a row."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of(self, order_id: str, limit: int) -> Sequence[HistoryEntry]:
        set_order_id(order_id)
        async with acquire(self._pool) as link:
            found = await link.execute(HISTORY.of, {"order_id": order_id, "limit": limit}, prepare=True)
            rows = await found.fetchall()
        if not rows:
            raise OrderNotFound(order_id)
        return [_entry_of(row) for row in rows]

    async def now(self) -> HistoryCursor:
        async with acquire(self._pool) as link:
            row = await (await link.execute(HISTORY.now)).fetchone()
        assert row is not None  # noqa: S101  it selects from nothing
        return HistoryCursor(row[0], 0)

    async def after(self, cursor: HistoryCursor, criteria: HistoryFilter, limit: int) -> HistoryPage:
        query = HISTORY.behind if criteria.order_id is None else HISTORY.behind_of_order
        values = {"turn": str(cursor.txid), "id": cursor.id, "order_id": criteria.order_id, "limit": limit}
        async with acquire(self._pool) as link:
            rows = await (await link.execute(query, values, prepare=True)).fetchall()
        open_from, open_until, held_back = rows[0][:HORIZON]
        if cursor.txid > open_until:
            raise UnknownCursor
        entries = [_entry_of(row[HORIZON:]) for row in rows if row[HORIZON] is not None]
        more = len(entries) == limit
        until = entries[-1].cursor if more else max(cursor, HistoryCursor(open_from, 0))
        return HistoryPage([entry for entry in entries if criteria.matches(entry)], until, more, held_back)


class _LogRow(NamedTuple):
    turn: int
    id: int
    order_id: str
    version: int
    was: str | None
    became: str
    driver_id: str | None
    reason: str | None
    actor: str
    at: datetime
    trace_id: str | None
    customer_id: str | None
    was_driver_id: str | None


def _entry_of(columns: TupleRow) -> HistoryEntry:
    row = _LogRow(*columns)
    status = Status(row.became)
    return HistoryEntry(
        cursor=HistoryCursor(row.turn, row.id),
        order_id=row.order_id,
        sequence=row.version,
        kind=change_kind(Status(row.was) if row.was else None, status),
        status=status,
        driver_id=row.driver_id,
        reason=Reason(row.reason) if row.reason else None,
        actor=row.actor,
        at=row.at,
        trace_id=row.trace_id,
        customer_id=row.customer_id,
        was_driver_id=row.was_driver_id,
    )
