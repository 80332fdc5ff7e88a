"""Messages that were given up, in PostgreSQL."""

from __future__ import annotations

import msgspec

from gofleet.adapters.postgres.links import Pool, link_from
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.messages import EVENT_ID, Delivery
from gofleet.telemetry.metrics import MESSAGES_PARKED

PARKED = Queries("parked")


class PostgresParked:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, delivery: Delivery, reason: str) -> None:
        # PostgreSQL has no NUL in text: a header that holds one is kept escaped, for people to read.
        headers = {_printable(name): _printable(value) for name, value in delivery.headers.items()}
        values = {
            "queue": delivery.queue,
            "event_id": headers.get(EVENT_ID),
            "body": delivery.body,
            "headers": msgspec.json.encode(headers).decode(),
            "reason": _printable(reason),
            "attempts": delivery.attempt,
        }
        async with link_from(self._pool) as link:
            await link.execute(PARKED.add, values)
        MESSAGES_PARKED.labels(delivery.queue).inc()

    async def count(self) -> int:
        async with link_from(self._pool) as link:
            counted = await link.execute(PARKED.count)
            row = await counted.fetchone()
        return row[0] if row else 0

    async def prune(self, days: float, limit: int) -> int:
        async with link_from(self._pool) as link:
            return (await link.execute(PARKED.prune, {"days": days, "limit": limit})).rowcount


def _printable(text: str) -> str:
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
