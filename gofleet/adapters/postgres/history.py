"""The history in PostgreSQL: an entry of each version, by a trigger (sql/migrations/0018_every_version.sql)."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.rows import DictRow

from gofleet.adapters.postgres.pool import Pool, acquire, fetch_rows
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import OrderNotFound, UnknownCursor
from gofleet.domain.history import ChangeKind, HistoryCursor, HistoryEntry, HistoryFilter, HistoryPage
from gofleet.domain.order import Reason, Status
from gofleet.telemetry.tracing import set_order_id

HISTORY = Queries("history")


class PostgresHistory:
    """A cursor is the number of a transaction and the id of a row."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of(self, order_id: str, limit: int) -> Sequence[HistoryEntry]:
        set_order_id(order_id)
        async with acquire(self._pool) as connection:
            rows = await fetch_rows(connection, HISTORY.of, {"order_id": order_id, "limit": limit}, prepare=True)
        if not rows:
            raise OrderNotFound(order_id)
        return [_entry_of(row) for row in rows]

    async def now(self) -> HistoryCursor:
        async with acquire(self._pool) as connection:
            (row,) = await (await connection.execute(HISTORY.now)).fetchall()
        return HistoryCursor(row[0], 0)

    async def after(self, cursor: HistoryCursor, criteria: HistoryFilter, limit: int) -> HistoryPage:
        query = HISTORY.after_of_order if criteria.order_ids else HISTORY.after
        values = {"txid": str(cursor.txid), "id": cursor.id, "order_ids": list(criteria.order_ids), "limit": limit}
        async with acquire(self._pool) as connection:
            rows = await fetch_rows(connection, query, values, prepare=True)
        horizon = rows[0]  # one row at least; without entries its columns of an entry are null
        if cursor.txid > horizon["open_until"]:
            raise UnknownCursor
        entries = [_entry_of(row) for row in rows if row["id"] is not None]
        more = len(entries) == limit
        until = entries[-1].cursor if more else max(cursor, HistoryCursor(horizon["open_from"], 0))
        wanted = [entry for entry in entries if criteria.matches(entry)]
        return HistoryPage(wanted, until, more, horizon["held_back"])


def _entry_of(row: DictRow) -> HistoryEntry:
    return HistoryEntry(
        cursor=HistoryCursor(row["txid"], row["id"]),
        order_id=row["order_id"],
        sequence=row["version"],
        kind=ChangeKind(f"orders.{row['kind']}"),
        status=Status(row["became"]),
        driver_id=row["driver_id"],
        reason=Reason(row["reason"]) if row["reason"] else None,
        actor=row["actor"],
        at=row["at"],
        trace_id=row["trace_id"],
        customer_id=row["customer_id"],
        was_driver_id=row["was_driver_id"],
        client_order_id=row["client_order_id"],
    )
