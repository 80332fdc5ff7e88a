"""Events of the outbox that the broker has refused too often, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.rows import dict_row

from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import CountMismatch
from gofleet.ports import FailedEvent

FAILED = Queries("failed")


class PostgresFailedEvents:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list(self, before: int | None, limit: int) -> Sequence[FailedEvent]:
        async with acquire(self._pool) as link, link.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(FAILED.list, {"before": before, "limit": limit})
            return [FailedEvent(**row) for row in await cursor.fetchall()]

    async def count(self) -> int:
        async with acquire(self._pool) as link:
            counted = await link.execute(FAILED.count)
            row = await counted.fetchone()
        return row[0] if row else 0

    async def retry(self, expected_count: int) -> None:
        async with acquire(self._pool) as link:
            retried = await link.execute(FAILED.retry, {"expected_count": expected_count})
            (failed,) = await retried.fetchone() or (0,)
        if failed != expected_count:
            raise CountMismatch(expected_count, failed)
