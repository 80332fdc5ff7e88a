"""The outbox: events that were committed with their orders, claimed by relays inside the publishing transaction."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from gofleet.adapters.postgres.pool import Connection, Pool, acquire
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import GoFleetError, MessageRefused
from gofleet.domain.messages import Message

OUTBOX = Queries("outbox")
LAG_COUNT_MAX = 100_000
"""More that waits is not counted."""
FULL_SCAN_SECONDS = 1.0


@dataclass
class PostgresClaim:
    """Rows locked by this transaction; a relay that dies gives them back by dying."""

    messages: Sequence[Message]
    ids: Sequence[int]
    _link: Connection
    _max_attempts: int
    done: bool = False
    """Whether all of it is published."""

    async def settle(self, results: Sequence[GoFleetError | None]) -> None:
        settled = list(zip(self.ids, results, strict=True))
        confirmed = [id for id, answer in settled if answer is None]
        if confirmed:
            await self._link.execute(OUTBOX.published, {"ids": confirmed}, prepare=True)
        for id, answer in settled:
            if isinstance(answer, MessageRefused):
                values = {"id": id, "error": str(answer)[:500], "max_attempts": self._max_attempts}
                await self._link.execute(OUTBOX.refused, values)
        self.done = len(confirmed) == len(settled)


class PostgresOutbox:
    """While one batch after the other comes full and is published whole, the next is looked for behind it: the dead
    entries of a long backlog in the index would else be passed again by each. From the start whenever it is not so, and
    now and then: later events of an order are there, and what was refused, given back or committed late."""

    def __init__(self, pool: Pool, *, max_attempts: int = 20) -> None:
        self._pool = pool
        self._max_attempts = max_attempts
        self._after = 0
        self._from_the_start_at = 0.0

    @asynccontextmanager
    async def claiming(self, limit: int) -> AsyncGenerator[PostgresClaim]:
        after, self._after = self._next_start(), 0  # for whatever becomes of this one
        async with acquire(self._pool) as link, link.transaction():
            rows = await _claimed(link, after, limit)
            if after and len(rows) < limit:
                rows = await _claimed(link, 0, limit)
            messages = [
                Message(str(event_id), type, order_id, seq, payload.encode(), traceparent)
                for _, event_id, type, order_id, seq, payload, traceparent in rows
            ]
            claim = PostgresClaim(messages, [row[0] for row in rows], link, self._max_attempts)
            yield claim
        if claim.done and len(rows) == limit:
            self._after = claim.ids[-1]

    async def lag(self) -> tuple[int, float]:
        """How many events wait to be published, MOST_COUNTED at the most, and the age of the oldest in seconds."""
        async with acquire(self._pool) as link:
            found = await link.execute(OUTBOX.lag, {"most": LAG_COUNT_MAX})
            row = await found.fetchone()
        return row or (0, 0.0)

    async def prune(self, days: float, limit: int) -> int:
        async with acquire(self._pool) as link:
            return (await link.execute(OUTBOX.prune, {"days": days, "limit": limit})).rowcount

    def _next_start(self) -> int:
        if (now := monotonic()) < self._from_the_start_at:
            return self._after
        self._from_the_start_at = now + FULL_SCAN_SECONDS
        return 0


async def _claimed(link: Connection, after: int, limit: int) -> list[tuple[Any, ...]]:
    found = await link.execute(OUTBOX.claim, {"after": after, "limit": limit}, prepare=True)
    return await found.fetchall()
