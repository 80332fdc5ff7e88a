"""Orders that are written or read at the same time, in one statement: one round trip and one commit for all of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled

from gofleet.adapters.batcher import Batcher, RunAlone
from gofleet.adapters.postgres.order_rows import array
from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.adapters.postgres.queries import Queries

ORDERS = Queries("orders")
OF_ONE_ROW = (DeadlockDetected, LockNotAvailable, QueryCanceled)
"""psycopg counts them among the outages; of a batch they tell that one row was in somebody's way."""
_UNTIL_RECEIPTS, _, _INBOX = ORDERS.save.partition("insert into inbox")
_, _, _BEHIND_RECEIPTS = _INBOX.partition("returning consumer, event_id")
_NO_RECEIPTS = "select consumer, handled_event_id as event_id from free where false"
WITHOUT_RECEIPTS = _UNTIL_RECEIPTS + _NO_RECEIPTS + _BEHIND_RECEIPTS
"""`orders.save` for those who handle no event: PostgreSQL asks for the privileges of all that stands in a statement,
and only the worker may write to the inbox."""


@dataclass(frozen=True)
class BatchLimits:
    """At most `most` orders go into a statement. At most `at_once` statements of a kind are under way, and the next
    begins beside one only when that one has taken `patience` seconds."""

    max_size: int = 64
    concurrency: int = 2
    second_after_seconds: float = 0.02


class NewRow(NamedTuple):
    id: str
    row: bytes


class MovedRow(NamedTuple):
    id: str
    driver_id: str | None
    row: bytes
    has_receipt: bool


Times = tuple[datetime, datetime]
"""When the order was created, and since when it is pending."""


class Saved(NamedTuple):
    """What became of a row: `moved`, `stale`, `handled` (its event, before) or, among many, `busy` (its driver)."""

    verdict: str
    times: Sequence[Any]


class BatchedOrders:
    """Each method answers one caller; `Unavailable` when nobody knows what became of it."""

    def __init__(self, pool: Pool, batches: BatchLimits) -> None:
        self._pool = pool
        bounds = asdict(batches)
        self.add: Batcher[NewRow, Times | None] = Batcher(self._add, keys=_order, **bounds)
        self.save: Batcher[MovedRow, Saved] = Batcher(self._save, keys=_both, **bounds)
        self.get: Batcher[str, Any] = Batcher(self._get, **bounds)

    async def _add(self, new: Sequence[NewRow]) -> Sequence[Times | None]:
        rows = array([row for _, row in sorted(new)])
        added = {
            id: (created_at, since) for id, created_at, since in await self._run(ORDERS.add, {"rows": rows}, len(new))
        }
        return [added.get(one.id) for one in new]

    async def _save(self, moved: Sequence[MovedRow]) -> Sequence[Saved | RunAlone]:
        many = len(moved) > 1
        statement = ORDERS.save if any(one.has_receipt for one in moved) else WITHOUT_RECEIPTS
        if many:  # one row that somebody has locked must not hold up the others
            statement = statement.replace("no key update", "no key update skip locked")
        values = {"rows": array([one.row for one in sorted(moved, key=lambda one: one.id)]), "count": len(moved)}
        found = await self._run(statement, values, len(moved))
        saved = {id: Saved(verdict, times) for id, verdict, *times in found}
        # What looks stale among many may only be locked, and who looks busy may be free by now.
        return [RunAlone() if many and saved[one.id].verdict in {"stale", "busy"} else saved[one.id] for one in moved]

    async def _get(self, ids: Sequence[str]) -> Sequence[Any]:
        found = {row[0]: row for row in await self._run(ORDERS.get, {"ids": list(set(ids))}, len(ids))}
        return [found.get(id) for id in ids]

    async def _run(self, statement: LiteralString, values: Mapping[str, object], count: int) -> list[tuple[Any, ...]]:
        async with acquire(self._pool) as link:
            try:
                return await (await link.execute(statement, values, prepare=True)).fetchall()
            except OF_ONE_ROW as error:
                if count > 1:
                    raise RunAlone from error
                raise


def _order(new: NewRow) -> Iterable[Hashable]:
    return [new.id]


def _both(moved: MovedRow) -> Iterable[Hashable]:
    return [("order", moved.id), ("driver", moved.driver_id)] if moved.driver_id else [("order", moved.id)]
