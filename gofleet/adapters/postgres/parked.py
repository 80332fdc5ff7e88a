"""Parked messages in PostgreSQL: dead-letter storage for messages that no retry could handle."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
from psycopg.rows import DictRow

from gofleet.adapters.postgres.pool import Connection, Pool, acquire, fetch_rows
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import CountMismatch, GoFleetError, MessageRefused, NotReplayable, ParkedMessageNotFound
from gofleet.domain.messages import EVENT_ID, QUEUES, Delivery
from gofleet.domain.parked import Cause, HandlingFailure, ParkedGroup, ParkedMessage, Stage, as_replay, shown_id
from gofleet.ports import ParkedFilter
from gofleet.telemetry.metrics import MESSAGES_PARKED

PARKED = Queries("parked")
ERROR_CHARS_MAX = 500


@dataclass
class PostgresReplayClaim:
    """Rows locked by this transaction; when a relay dies, its locks end with its connection."""

    deliveries: Sequence[Delivery]
    _ids: Sequence[int]
    _connection: Connection

    async def settle(self, results: Sequence[GoFleetError | None]) -> None:
        settled = list(zip(self._ids, results, strict=True))
        await self._connection.execute(PARKED.replayed, {"ids": [id for id, result in settled if result is None]})
        for id, result in settled:
            if isinstance(result, MessageRefused):
                error = _printable(str(result)[:ERROR_CHARS_MAX])
                await self._connection.execute(PARKED.refused, {"id": id, "error": error})


class PostgresParked:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, delivery: Delivery, failure: HandlingFailure) -> None:
        # PostgreSQL has no NUL in text: a header that contains one is stored escaped, readable for operators.
        headers = {_printable(name): _printable(value) for name, value in delivery.headers.items()}
        values = {
            "queue": delivery.queue,
            "event_id": _printable(shown_id(delivery, EVENT_ID) or "") or None,
            "body": delivery.body,
            "headers": msgspec.json.encode(headers).decode(),
            "reason": _printable(failure.text),
            "attempts": delivery.attempt,
            "cause": failure.cause.value,
            "fingerprint": failure.fingerprint(delivery),
        }
        async with acquire(self._pool) as connection:
            await connection.execute(PARKED.add, values)
        MESSAGES_PARKED.labels(delivery.queue).inc()

    async def count(self) -> int:
        async with acquire(self._pool) as connection:
            row = await (await connection.execute(PARKED.count)).fetchone()
        return row[0] if row else 0

    async def prune(self, days: float, limit: int) -> int:
        async with acquire(self._pool) as connection:
            return (await connection.execute(PARKED.prune, {"days": days, "limit": limit})).rowcount

    async def list(self, criteria: ParkedFilter, limit: int) -> Sequence[ParkedMessage]:
        async with acquire(self._pool) as connection:
            rows = await fetch_rows(connection, PARKED.list, _values_of(criteria) | {"limit": limit})
        return [_message_of(row) for row in rows]

    async def groups(self, criteria: ParkedFilter, limit: int) -> Sequence[ParkedGroup]:
        async with acquire(self._pool) as connection:
            rows = await fetch_rows(connection, PARKED.groups, _values_of(criteria) | {"limit": limit})
        return [_group_of(row) for row in rows]

    async def open(self, id: int, most_bytes: int) -> tuple[ParkedMessage, Delivery]:
        async with acquire(self._pool) as connection:
            rows = await fetch_rows(connection, PARKED.open, {"id": id, "most_bytes": most_bytes})
        if not rows:
            raise ParkedMessageNotFound(id)
        (row,) = rows
        headers, body = row.pop("headers"), row.pop("body")
        return _message_of(row), Delivery(row["queue"], bytes(body), headers)

    async def request(self, id: int) -> ParkedMessage:
        async with acquire(self._pool) as connection:
            await connection.execute(PARKED.request, {"id": id, "queues": list(QUEUES)})
        message, _ = await self.open(id, 0)
        if message.stage is Stage.WAITING and message.queue not in QUEUES:
            raise NotReplayable(message.queue)
        return message

    async def request_all(self, criteria: ParkedFilter, expected_count: int) -> None:
        values = _values_of(criteria) | {"expected_count": expected_count, "queues": list(QUEUES)}
        async with acquire(self._pool) as connection:
            row = await (await connection.execute(PARKED.request_all, values)).fetchone()
        waiting, unknown_queue = row or (0, None)
        if waiting != expected_count:
            raise CountMismatch(expected_count, waiting)
        if unknown_queue is not None:
            raise NotReplayable(unknown_queue)

    @asynccontextmanager
    async def claiming(self, limit: int) -> AsyncGenerator[PostgresReplayClaim]:
        async with acquire(self._pool) as connection, connection.transaction():
            rows = await fetch_rows(connection, PARKED.claim, {"limit": limit})
            deliveries = [as_replay(Delivery(row["queue"], bytes(row["body"]), row["headers"])) for row in rows]
            yield PostgresReplayClaim(deliveries, [row["id"] for row in rows], connection)


def _values_of(criteria: ParkedFilter) -> dict[str, object]:
    return {
        "queue": criteria.queue,
        "fingerprint": criteria.fingerprint,
        "cause": criteria.cause and criteria.cause.value,
        "stage": criteria.stage and criteria.stage.value,
        "before": criteria.before,
    }


def _message_of(row: DictRow) -> ParkedMessage:
    stage = Stage.REPLAYED if row["replayed_at"] else Stage.REQUESTED if row["replay_requested_at"] else Stage.WAITING
    columns = {name: value for name, value in row.items() if name not in {"cause", "reason"}}
    return ParkedMessage(**columns, stage=stage, cause=_cause(row["cause"]), detail=row["reason"])


def _group_of(row: DictRow) -> ParkedGroup:
    columns = {name: value for name, value in row.items() if name not in {"cause", "reason"}}
    return ParkedGroup(**columns, cause=_cause(row["cause"]), detail=row["reason"])


def _cause(slug: str) -> Cause:
    """A newer release may park messages with causes that this one does not know: they are shown as failed."""
    return Cause(slug) if slug in set(Cause) else Cause.FAILED


def _printable(text: str) -> str:
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
