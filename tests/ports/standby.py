"""A PostgreSQL primary with a streaming standby, which can be promoted, demoted, stopped and started again."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

from psycopg import AsyncConnection

from gofleet.adapters.postgres.migrate import apply_migrations
from gofleet.embedded import Postgres
from gofleet.files import write_private
from tests.databases import conninfo_of
from tests.servers import postgres_programs
from tests.waiting import eventually

STANDBY = "standby"
"""The name by which the standby connects to its primary, for `synchronous_standby_names`."""


@dataclass(frozen=True)
class Pair:
    """`primary` has our schema, and `standby` replicates it, both from `directory`."""

    directory: Path
    primary: Postgres
    standby: Postgres

    @property
    def database(self) -> str:
        """A connection string to the database of the primary."""
        return conninfo_of(self.primary, "gofleet")

    async def promote(self) -> None:
        """Let the standby accept writes, and return once it does."""
        await execute(conninfo_of(self.standby, "gofleet"), "select pg_promote()")

    async def demote(self) -> None:
        """Restart the primary as a standby, at the same address."""
        await self.primary.stop()
        (self.directory / "primary/data/standby.signal").touch()
        await self.primary.start()

    async def replicates(self) -> bool:
        return bool(await execute(self.database, "select true from pg_stat_replication where state = 'streaming'"))


@asynccontextmanager
async def a_pair(settings: Mapping[str, str] | None = None) -> AsyncGenerator[Pair]:
    """Both servers, replicating; `settings` are those of the primary."""
    with tempfile.TemporaryDirectory(prefix="gofleet-pair-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # the servers may run as another user
        template = _a_postgres(directory / "primary", {})
        await template.start()
        apply_migrations(conninfo_of(template, "gofleet"))
        await template.stop()
        _copy(directory / "primary/data", directory / "standby/data")
        (directory / "standby/data/standby.signal").touch()
        primary = _a_postgres(directory / "primary", settings or {})
        await primary.start()
        at, password_file = primary.address, directory / "standby/password"
        write_private(password_file, f"*:*:*:*:{at.password}\n".encode())
        shutil.chown(password_file, (directory / "primary/data").stat().st_uid)
        source = f"host=127.0.0.1 port={at.port} user={at.user} passfile={password_file} application_name={STANDBY}"
        standby = _a_postgres(directory / "standby", {"primary_conninfo": source}, at.password)
        pair = Pair(directory, primary, standby)
        try:
            await pair.standby.start()
            await eventually(pair.replicates)
            yield pair
        finally:
            await pair.standby.stop()
            await primary.stop()


async def execute(conninfo: str, statement: LiteralString) -> list[tuple[object, ...]]:
    """The rows of a statement, on a connection of its own."""
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []


def _a_postgres(directory: Path, settings: Mapping[str, str], password: str | None = None) -> Postgres:
    programs = postgres_programs()
    return Postgres(
        directory, durable=False, max_connections=200, bin_dir=programs, settings=settings, password=password
    )


def _copy(source: Path, target: Path) -> None:
    """Copy a stopped server's data with its owner."""
    shutil.copytree(source, target)
    target.parent.chmod(0o711)
    owner = source.stat()
    if os.geteuid() == 0:
        for path in (target, *target.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
