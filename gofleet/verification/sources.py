"""What is compared: each source is opened if it is given, and remembered with the reason if it cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg

from gofleet import parts
from gofleet.adapters.postgres.migrate import missing_migrations
from gofleet.adapters.postgres.snapshot import Snapshot, snapshot
from gofleet.adapters.rabbit.diagnostics import held_by_consumers, queue_depths
from gofleet.adapters.redis.audit import RedisAudit
from gofleet.domain.errors import GoFleetError, Unavailable
from gofleet.domain.messages import QUEUES
from gofleet.ports import Depth
from gofleet.settings import Settings
from gofleet.verification.records import Act, Records, Tapped

Part = TypeVar("Part")


class Source(StrEnum):
    POSTGRES = "PostgreSQL"
    REDIS = "Redis"
    BROKER = "the broker"
    MANAGEMENT = "RabbitMQ's management API"
    LEDGER = "a ledger"
    TAP = "a tap"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is given besides the settings. `live` = the installation is at work, so that what is only true at rest is
    not asked; `broker_lost_data` = what the broker never delivered is explained by that."""

    ledger: Path | None = None
    tap: Path | None = None
    management: str | None = None
    broker_lost_data: bool = False
    live: bool = False


@dataclass(frozen=True)
class Queues:
    """What lies in the broker's queues, and which of them do not exist."""

    depths: list[Depth]
    lacking: list[str]


@dataclass
class Sources:
    settings: Settings
    inputs: Inputs
    opened: dict[Source, object] = field(default_factory=dict[Source, object])
    failed: dict[Source, str] = field(default_factory=dict[Source, str])

    async def rows(self, query: LiteralString, **values: object) -> AsyncGenerator[tuple[Any, ...]]:
        """From PostgreSQL."""
        async for row in self._part(Source.POSTGRES, Snapshot).rows(query, values):
            yield row

    @property
    def redis(self) -> RedisAudit:
        return self._part(Source.REDIS, RedisAudit)

    @property
    def queues(self) -> Queues:
        return self._part(Source.BROKER, Queues)

    @property
    def managed(self) -> Queues:
        return self._part(Source.MANAGEMENT, Queues)

    @property
    def ledger(self) -> Records[Act]:
        return self._part(Source.LEDGER, Records[Act])

    @property
    def tap(self) -> Records[Tapped]:
        return self._part(Source.TAP, Records[Tapped])

    def _part(self, source: Source, kind: type[Part]) -> Part:
        part = self.opened[source]
        assert isinstance(part, getattr(kind, "__origin__", kind))  # noqa: S101  each is put in by `sources` below
        return part  # pyright: ignore[reportReturnType]  # a generic's parameters are not there to be checked


@asynccontextmanager
async def sources(settings: Settings, inputs: Inputs) -> AsyncGenerator[Sources]:
    """All that are given, for the block; those that cannot be read are in `failed`."""
    found = Sources(settings, inputs)
    async with AsyncExitStack() as stack:
        for source, opening in _openings(settings, inputs, stack).items():
            try:
                found.opened[source] = await opening()
            except GoFleetError as error:
                found.failed[source] = str(error)
        yield found


def _openings(
    settings: Settings, inputs: Inputs, stack: AsyncExitStack
) -> dict[Source, Callable[[], Awaitable[object]]]:
    rabbit = settings.general.broker == "rabbitmq"

    async def postgres() -> Snapshot:
        dsn = parts.conninfo(settings)
        await asyncio.to_thread(_check_schema, dsn)
        return await stack.enter_async_context(snapshot(dsn))

    async def redis() -> RedisAudit:
        client = parts.a_redis(settings, REDIS_SECONDS)
        stack.push_async_callback(client.aclose)
        audit = RedisAudit(client, parts.key_prefix(settings))
        await audit.check()
        return audit

    async def broker() -> Queues:
        if rabbit:
            return Queues(*await queue_depths(parts.rabbit_server(settings), parts.topology(settings)))
        return Queues(await (await redis()).depths(QUEUES), [])

    async def management() -> Queues:
        url, server = inputs.management or "", parts.rabbit_server(settings)
        return Queues(await held_by_consumers(url, server, parts.topology(settings)), [])

    async def ledger() -> Records[Act]:
        return _checked(Records(inputs.ledger or Path(), Act))

    async def tap() -> Records[Tapped]:
        return _checked(Records(inputs.tap or Path(), Tapped))

    given: dict[Source, Callable[[], Awaitable[object]]] = {
        Source.POSTGRES: postgres,
        Source.REDIS: redis,
        Source.BROKER: broker,
    }
    if inputs.management and rabbit:
        given[Source.MANAGEMENT] = management
    if inputs.ledger:
        given[Source.LEDGER] = ledger
    if inputs.tap:
        given[Source.TAP] = tap
    return given


REDIS_SECONDS = 5.0
"""Nobody waits for a verification as for a dispatch."""


def _checked(records: Records[Part]) -> Records[Part]:
    records.check()
    return records


def _check_schema(dsn: str) -> None:
    try:
        lacking = missing_migrations(dsn)
    except psycopg.Error as error:
        raise Unavailable("PostgreSQL", str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if lacking:
        raise Unavailable("PostgreSQL", f"the database lacks {', '.join(lacking)}: run `gofleet migrate` first")
