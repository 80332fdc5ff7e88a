"""Messages that were given up, in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import CountMismatch, GoFleetError, MessageRefused, NotReplayable, ParkedMessageNotFound
from gofleet.domain.messages import EVENT_ID, QUEUES, Delivery
from gofleet.domain.parked import Cause, HandlingFailure, ParkedGroup, ParkedMessage, Stage, as_replay
from gofleet.ports import ParkedFilter
from gofleet.telemetry.metrics import MESSAGES_PARKED

PARKED = Queries("parked")
ERROR_CHARS_MAX = 500


@dataclass
class PostgresReplayClaim:
    """Rows locked by this transaction; a relay that dies gives them back by dying."""

    deliveries: Sequence[Delivery]
    _ids: Sequence[int]
    _link: AsyncConnection

    async def settle(self, results: Sequence[GoFleetError | None]) -> None:
        settled = list(zip(self._ids, results, strict=True))
        await self._link.execute(PARKED.replayed, {"ids": [id for id, answer in settled if answer is None]})
        for id, answer in settled:
            if isinstance(answer, MessageRefused):
                error = _printable(str(answer)[:ERROR_CHARS_MAX])
                await self._link.execute(PARKED.refused, {"id": id, "error": error})


class PostgresParked:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, delivery: Delivery, failure: HandlingFailure) -> None:
        # PostgreSQL has no NUL in text: a header that holds one is kept escaped, for people to read.
        headers = {_printable(name): _printable(value) for name, value in delivery.headers.items()}
        values = {
            "queue": delivery.queue,
            "event_id": headers.get(EVENT_ID),
            "body": delivery.body,
            "headers": msgspec.json.encode(headers).decode(),
            "reason": _printable(failure.text),
            "attempts": delivery.attempt,
            "cause": failure.cause.value,
            "fingerprint": failure.fingerprint(delivery),
        }
        async with acquire(self._pool) as link:
            await link.execute(PARKED.add, values)
        MESSAGES_PARKED.labels(delivery.queue).inc()

    async def count(self) -> int:
        async with acquire(self._pool) as link:
            counted = await link.execute(PARKED.count)
            row = await counted.fetchone()
        return row[0] if row else 0

    async def prune(self, days: float, limit: int) -> int:
        async with acquire(self._pool) as link:
            return (await link.execute(PARKED.prune, {"days": days, "limit": limit})).rowcount

    async def list(self, criteria: ParkedFilter, limit: int) -> Sequence[ParkedMessage]:
        async with acquire(self._pool) as link, link.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(PARKED.list, _values_of(criteria) | {"limit": limit})
            return [_message_of(row) for row in await cursor.fetchall()]

    async def groups(self, criteria: ParkedFilter, limit: int) -> Sequence[ParkedGroup]:
        async with acquire(self._pool) as link, link.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(PARKED.groups, _values_of(criteria) | {"limit": limit})
            return [_group_of(row) for row in await cursor.fetchall()]

    async def open(self, id: int, most_bytes: int) -> tuple[ParkedMessage, Delivery]:
        async with acquire(self._pool) as link, link.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(PARKED.open, {"id": id, "most_bytes": most_bytes})
            row = await cursor.fetchone()
        if row is None:
            raise ParkedMessageNotFound(id)
        headers, body = row.pop("headers"), row.pop("body")
        return _message_of(row), Delivery(row["queue"], bytes(body), headers)

    async def request(self, id: int) -> ParkedMessage:
        async with acquire(self._pool) as link:
            await link.execute(PARKED.request, {"id": id, "queues": list(QUEUES)})
        message, _ = await self.open(id, 0)
        if message.stage is Stage.WAITING and message.queue not in QUEUES:
            raise NotReplayable(message.queue)
        return message

    async def request_all(self, criteria: ParkedFilter, expected_count: int) -> None:
        values = _values_of(criteria) | {"expected_count": expected_count, "queues": list(QUEUES)}
        async with acquire(self._pool) as link:
            requested = await link.execute(PARKED.request_all, values)
            waiting, nobodys = await requested.fetchone() or (0, None)
        if waiting != expected_count:
            raise CountMismatch(expected_count, waiting)
        if nobodys is not None:
            raise NotReplayable(nobodys)

    @asynccontextmanager
    async def claiming(self, limit: int) -> AsyncGenerator[PostgresReplayClaim]:
        async with acquire(self._pool) as link, link.transaction():
            found = await link.execute(PARKED.claim, {"limit": limit})
            rows = await found.fetchall()
            deliveries = [as_replay(Delivery(queue, bytes(body), headers)) for _, queue, body, headers in rows]
            yield PostgresReplayClaim(deliveries, [row[0] for row in rows], link)


def _values_of(criteria: ParkedFilter) -> dict[str, object]:
    return {
        "queue": criteria.queue,
        "fingerprint": criteria.fingerprint,
        "cause": criteria.cause and criteria.cause.value,
        "stage": criteria.stage and criteria.stage.value,
        "before": criteria.before,
    }


def _message_of(row: dict[str, Any]) -> ParkedMessage:
    stage = Stage.REPLAYED if row["replayed_at"] else Stage.REQUESTED if row["replay_requested_at"] else Stage.WAITING
    columns = {name: value for name, value in row.items() if name not in {"cause", "reason"}}
    return ParkedMessage(**columns, stage=stage, cause=_cause(row["cause"]), detail=row["reason"])


def _group_of(row: dict[str, Any]) -> ParkedGroup:
    columns = {name: value for name, value in row.items() if name not in {"cause", "reason"}}
    return ParkedGroup(**columns, cause=_cause(row["cause"]), detail=row["reason"])


def _cause(slug: str) -> Cause:
    """A newer release may have more of them, and park messages while this one still shows them."""
    return Cause(slug) if slug in set(Cause) else Cause.FAILED


def _printable(text: str) -> str:
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
