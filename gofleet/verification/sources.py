"""Data sources of a verification: servers, queues, and records written outside GoFleet (ledger and tap)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Literal, LiteralString, TypeVar

import msgspec
import psycopg

from gofleet import parts
from gofleet.adapters.postgres.migrate import missing_migrations
from gofleet.adapters.postgres.snapshot import Snapshot, snapshot
from gofleet.adapters.rabbit.diagnostics import held_by_consumers, queue_depths
from gofleet.adapters.rabbit.topology import topology_of
from gofleet.adapters.redis.audit import RedisAudit
from gofleet.domain.errors import GoFleetError, Unavailable
from gofleet.domain.messages import QUEUES
from gofleet.ports import Depth
from gofleet.settings import Settings

REDIS_TIMEOUT_SECONDS = 5.0
"""Longer than for a dispatch, because a verification is not urgent."""

Record = TypeVar("Record")
Opened = TypeVar("Opened")


class Source(StrEnum):
    POSTGRES = "PostgreSQL"
    REDIS = "Redis"
    BROKER = "the broker"
    MANAGEMENT = "RabbitMQ's management API"
    LEDGER = "a ledger"
    TAP = "a tap"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Inputs besides the settings.

    `live`: the installation is in use, so checks that hold only at rest are skipped. `broker_lost_data`: the broker
    lost messages, which explains undelivered events.
    """

    ledger: Path | None = None
    tap: Path | None = None
    management: str | None = None
    broker_lost_data: bool = False
    live: bool = False


@dataclass(frozen=True)
class Queues:
    """Depths of the broker's queues, and the names of missing queues."""

    depths: list[Depth]
    missing: list[str]


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One client request, written after its last attempt. Without a `status` its outcome is unknown."""

    at: str
    act: Literal["create", "cancel", "deliver", "dispatch", "redispatch", "change", "get"]
    order_id: str
    request: dict[str, Any] | None = None
    status: int | None = None
    response: Any = None
    tries: int = 1

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class TapEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the broker delivered it."""

    event_id: str
    type: str
    order_id: str
    sequence: int


class UnreadableRecord(GoFleetError):
    """A record that cannot be read; the message contains the file and the line."""

    code = "unreadable"


class Records(Generic[Record]):
    """Records of a JSON lines file, in order, read anew per iteration; `UnreadableRecord` for a bad line or file."""

    def __init__(self, path: Path, kind: type[Record]) -> None:
        self.path = path
        self._decoder = msgspec.json.Decoder(kind, float_hook=Decimal)  # exact amounts of money

    def __iter__(self) -> Iterator[Record]:
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield self._read(number, line)
        except OSError as error:
            raise UnreadableRecord(f"{self.path}: {error.strerror}") from error

    def pages(self, size: int = 500) -> Iterator[list[Record]]:
        page: list[Record] = []
        for record in self:
            page.append(record)
            if len(page) == size:
                yield page
                page = []
        if page:
            yield page

    def validate(self) -> None:
        """Read all records once; `UnreadableRecord` for the first bad line."""
        for _ in self:
            pass

    def _read(self, number: int, line: bytes) -> Record:
        try:
            return self._decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UnreadableRecord(f"{self.path}, line {number}: {error}") from error


@dataclass
class Sources:
    """Opened sources, and the errors of the others."""

    settings: Settings
    inputs: Inputs
    opened: dict[Source, object] = field(default_factory=dict[Source, object])
    failed: dict[Source, str] = field(default_factory=dict[Source, str])

    async def rows(self, query: LiteralString, **values: object) -> AsyncGenerator[tuple[Any, ...]]:
        """Rows of a query in the PostgreSQL snapshot."""
        async for row in self._get(Source.POSTGRES, Snapshot).rows(query, values):
            yield row

    @property
    def redis(self) -> RedisAudit:
        return self._get(Source.REDIS, RedisAudit)

    @property
    def queues(self) -> Queues:
        return self._get(Source.BROKER, Queues)

    @property
    def management_queues(self) -> Queues:
        return self._get(Source.MANAGEMENT, Queues)

    @property
    def ledger(self) -> Records[LedgerEntry]:
        return self._get(Source.LEDGER, Records[LedgerEntry])

    @property
    def tap(self) -> Records[TapEntry]:
        return self._get(Source.TAP, Records[TapEntry])

    def _get(self, source: Source, kind: type[Opened]) -> Opened:
        opened = self.opened[source]
        assert isinstance(opened, getattr(kind, "__origin__", kind))  # noqa: S101  `open_sources` stores this type
        return opened  # pyright: ignore[reportReturnType]  # type parameters do not exist at run time


@asynccontextmanager
async def open_sources(settings: Settings, inputs: Inputs) -> AsyncGenerator[Sources]:
    """All sources that the settings and inputs name, for the block; errors are in `failed`."""
    sources = Sources(settings, inputs)
    async with AsyncExitStack() as stack:
        for source, open_source in _openers(settings, inputs, stack).items():
            try:
                sources.opened[source] = await open_source()
            except GoFleetError as error:
                sources.failed[source] = str(error)
        yield sources


def _openers(
    settings: Settings, inputs: Inputs, stack: AsyncExitStack
) -> dict[Source, Callable[[], Awaitable[object]]]:
    rabbit = settings.general.broker == "rabbitmq"

    async def postgres() -> Snapshot:
        dsn = parts.conninfo(settings)
        await asyncio.to_thread(_check_schema, dsn)
        return await stack.enter_async_context(snapshot(dsn))

    async def redis() -> RedisAudit:
        client = parts.a_redis(settings, REDIS_TIMEOUT_SECONDS)
        stack.push_async_callback(client.aclose)
        audit = RedisAudit(client, settings.general.key_prefix)
        await audit.check()
        return audit

    async def broker() -> Queues:
        if rabbit:
            return Queues(*await queue_depths(parts.rabbit_server(settings), topology_of(settings)))
        return Queues(await (await redis()).depths(QUEUES), [])

    async def management() -> Queues:
        url, server = inputs.management or "", parts.rabbit_server(settings)
        return Queues(await held_by_consumers(url, server, topology_of(settings)), [])

    async def ledger() -> Records[LedgerEntry]:
        return _validated(Records(inputs.ledger or Path(), LedgerEntry))

    async def tap() -> Records[TapEntry]:
        return _validated(Records(inputs.tap or Path(), TapEntry))

    openers: dict[Source, Callable[[], Awaitable[object]]] = {
        Source.POSTGRES: postgres,
        Source.REDIS: redis,
        Source.BROKER: broker,
    }
    if inputs.management and rabbit:
        openers[Source.MANAGEMENT] = management
    if inputs.ledger:
        openers[Source.LEDGER] = ledger
    if inputs.tap:
        openers[Source.TAP] = tap
    return openers


def _validated(records: Records[Record]) -> Records[Record]:
    records.validate()
    return records


def _check_schema(dsn: str) -> None:
    try:
        lacking = missing_migrations(dsn)
    except psycopg.Error as error:
        raise Unavailable("PostgreSQL", str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if lacking:
        raise Unavailable("PostgreSQL", f"the database lacks {', '.join(lacking)}: run `gofleet migrate` first")
