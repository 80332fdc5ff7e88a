"""The outbox: events that were committed with their orders, claimed by relays inside the publishing transaction."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gofleet.adapters.postgres.links import Link, Pool, link_from
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import GoFleetError, MessageRefused
from gofleet.domain.messages import Message

OUTBOX = Queries("outbox")


@dataclass
class PostgresClaim:
    """Rows locked by this transaction; a relay that dies gives them back by dying."""

    messages: Sequence[Message]
    _ids: Sequence[int]
    _link: Link
    _max_attempts: int

    async def settle(self, answers: Sequence[GoFleetError | None]) -> None:
        settled = list(zip(self._ids, answers, strict=True))
        confirmed = [id for id, answer in settled if answer is None]
        if confirmed:
            await self._link.execute(OUTBOX.published, {"ids": confirmed})
        for id, answer in settled:
            if isinstance(answer, MessageRefused):
                values = {"id": id, "error": str(answer)[:500], "max_attempts": self._max_attempts}
                await self._link.execute(OUTBOX.refused, values)


class PostgresOutbox:
    def __init__(self, pool: Pool, *, max_attempts: int = 20) -> None:
        self._pool = pool
        self._max_attempts = max_attempts

    @asynccontextmanager
    async def claiming(self, limit: int) -> AsyncGenerator[PostgresClaim]:
        async with link_from(self._pool) as link, link.transaction():
            found = await link.execute(OUTBOX.claim, {"limit": limit}, prepare=True)
            rows = await found.fetchall()
            messages = [
                Message(str(event_id), type, order_id, seq, payload.encode(), traceparent)
                for _, event_id, type, order_id, seq, payload, traceparent in rows
            ]
            yield PostgresClaim(messages, [row[0] for row in rows], link, self._max_attempts)

    async def lag(self) -> tuple[int, float]:
        """How many events wait to be published, and the age of the oldest in seconds."""
        async with link_from(self._pool) as link:
            found = await link.execute(OUTBOX.lag)
            row = await found.fetchone()
        return row or (0, 0.0)

    async def prune(self, days: float, limit: int) -> int:
        async with link_from(self._pool) as link:
            return (await link.execute(OUTBOX.prune, {"days": days, "limit": limit})).rowcount
