"""Parked messages in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from gofleet.domain.errors import CountMismatch, GoFleetError, MessageRefused, NotReplayable, ParkedMessageNotFound
from gofleet.domain.messages import AGGREGATE_ID, EVENT_ID, Delivery
from gofleet.domain.parked import HandlingFailure, ParkedGroup, ParkedMessage, Stage, as_replay, is_replayable, shown_id
from gofleet.ports import ParkedFilter


@dataclass
class _Row:
    message: ParkedMessage
    delivery: Delivery
    claimed: bool = False

    def requested_at(self) -> datetime:
        return self.message.replay_requested_at or self.message.parked_at

    def set_stage(self, stage: Stage, error: str | None = None) -> None:
        now, was = datetime.now(UTC), self.message
        self.message = replace(
            was,
            stage=stage,
            replay_requested_at={Stage.WAITING: None, Stage.REQUESTED: now}.get(stage, was.replay_requested_at),
            replayed_at=now if stage is Stage.REPLAYED else None,
            replay_count=was.replay_count + (stage is Stage.REPLAYED),
            error=error,
        )


@dataclass
class _Claim:
    _rows: list[_Row]

    @property
    def deliveries(self) -> Sequence[Delivery]:
        return [as_replay(row.delivery) for row in self._rows]

    async def settle(self, results: Sequence[GoFleetError | None]) -> None:
        for row, answer in zip(self._rows, results, strict=True):
            if answer is None:
                row.set_stage(Stage.REPLAYED)
            elif isinstance(answer, MessageRefused):
                row.set_stage(Stage.WAITING, str(answer))


@dataclass
class MemoryParked:
    """Nothing here awaits in the middle of a change, so every method is atomic."""

    rows: list[_Row] = field(default_factory=list[_Row])
    numbers: count[int] = field(default_factory=lambda: count(1))

    async def add(self, delivery: Delivery, failure: HandlingFailure) -> None:
        message = ParkedMessage(
            id=next(self.numbers),
            queue=delivery.queue,
            stage=Stage.WAITING,
            cause=failure.cause,
            detail=failure.text,
            fingerprint=failure.fingerprint(delivery),
            event_id=shown_id(delivery, EVENT_ID),
            order_id=shown_id(delivery, AGGREGATE_ID),
            attempts=delivery.attempt,
            body_bytes=len(delivery.body),
            parked_at=datetime.now(UTC),
        )
        self.rows.append(_Row(message, delivery))

    async def count(self) -> int:
        return len(self._matching(ParkedFilter()))

    async def prune(self, days: float, limit: int) -> int:
        before = datetime.now(UTC) - timedelta(days=days)
        old = [row for row in self.rows if row.message.replayed_at and row.message.replayed_at < before][:limit]
        self.rows[:] = [row for row in self.rows if row not in old]
        return len(old)

    async def list(self, criteria: ParkedFilter, limit: int) -> Sequence[ParkedMessage]:
        return [row.message for row in reversed(self._matching(criteria))][:limit]

    async def groups(self, criteria: ParkedFilter, limit: int) -> Sequence[ParkedGroup]:
        sorts: dict[tuple[str, str, str], list[ParkedMessage]] = {}
        for message in (row.message for row in self._matching(replace(criteria, before=None))):
            sorts.setdefault((message.fingerprint, message.queue, message.cause.value), []).append(message)
        groups = [
            ParkedGroup(
                fingerprint=members[0].fingerprint,
                queue=members[0].queue,
                cause=members[0].cause,
                detail=members[-1].detail,
                count=len(members),
                waiting=sum(member.stage is Stage.WAITING for member in members),
                first_at=members[0].parked_at,
                last_at=members[-1].parked_at,
            )
            for _, members in sorted(sorts.items())
        ]
        return sorted(groups, key=lambda group: group.count, reverse=True)[:limit]

    async def open(self, id: int, most_bytes: int) -> tuple[ParkedMessage, Delivery]:
        row = self._row(id)
        return row.message, replace(row.delivery, body=row.delivery.body[:most_bytes])

    async def request(self, id: int) -> ParkedMessage:
        row = self._row(id)
        if row.message.stage is Stage.WAITING:
            self._request([row])
        return row.message

    async def request_all(self, criteria: ParkedFilter, expected_count: int) -> None:
        rows = self._matching(replace(criteria, stage=Stage.WAITING, before=None))
        if len(rows) != expected_count:
            raise CountMismatch(expected_count, len(rows))
        self._request(rows)

    @asynccontextmanager
    async def claiming(self, limit: int) -> AsyncGenerator[_Claim]:
        requested = sorted(self._matching(ParkedFilter(stage=Stage.REQUESTED)), key=_Row.requested_at)
        claimed = [row for row in requested if not row.claimed][:limit]
        for row in claimed:
            row.claimed = True
        try:
            yield _Claim(claimed)
        finally:
            for row in claimed:
                row.claimed = False

    def _row(self, id: int) -> _Row:
        for row in self.rows:
            if row.message.id == id:
                return row
        raise ParkedMessageNotFound(id)

    def _matching(self, criteria: ParkedFilter) -> list[_Row]:
        def wanted(message: ParkedMessage) -> bool:
            return (
                criteria.queue in (None, message.queue)
                and criteria.fingerprint in (None, message.fingerprint)
                and criteria.cause in (None, message.cause)
                and (message.stage is criteria.stage if criteria.stage else message.stage is not Stage.REPLAYED)
                and (criteria.before is None or message.id < criteria.before)
            )

        return [row for row in self.rows if wanted(row.message)]

    def _request(self, rows: Sequence[_Row]) -> None:
        for row in rows:
            if not is_replayable(row.message.queue):
                raise NotReplayable(row.message.queue)
        for row in rows:
            row.set_stage(Stage.REQUESTED)
