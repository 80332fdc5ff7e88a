"""The three servers behind a world: private, durable where the product relies on it, and at the rig's mercy."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from gofleet.adapters.postgres.pool import connection_string
from gofleet.embedded import Postgres, RabbitMQ, Valkey, all_running

CONTROL_SECONDS = 60.0


@dataclass
class Servers:
    """All of them run. `redis` forgets whenever it ends; the others keep what they confirmed."""

    postgres: Postgres
    redis: Valkey
    rabbit: RabbitMQ

    def conninfo(self, database: str) -> str:
        """To PostgreSQL itself, past every proxy."""
        at = self.postgres.address
        return connection_string(
            host=at.host,
            port=at.port,
            user=at.user,
            password=at.password,
            database=database,
            sslmode="disable",
            connect_timeout_seconds=5,
            statement_timeout_ms=20_000,
            lock_timeout_ms=5_000,
        )

    async def administer(self, statement: str) -> None:
        connection = await psycopg.AsyncConnection.connect(self.conninfo("postgres"), autocommit=True)
        async with connection:
            await connection.execute(statement.encode())

    async def rabbitmqctl(self, *words: str) -> str:
        """What it printed; RuntimeError with that if it failed."""
        command, environment = self.rabbit.ctl_command(*words)
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(CONTROL_SECONDS):
            output, _ = await process.communicate()
        text = output.decode("utf-8", "replace")
        if process.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(words)}: {text}")
        return text


@asynccontextmanager
async def all_servers(place: Path | None = None) -> AsyncGenerator[Servers]:
    """Started side by side and gone after the block; with `place`, those that keep data keep it there."""
    # Durable: a crash of PostgreSQL must not forget what it has confirmed, or the ledger would be right to complain.
    postgres = Postgres(place and place / "postgres", durable=True, max_connections=300)
    # Debian's Redis where there is one: it is what most have, and the suite runs on Valkey already.
    binary = shutil.which("redis-server")
    redis = Valkey(durable=False, binary=Path(binary) if binary else None)
    rabbit = RabbitMQ(place and place / "rabbit", management=True)
    async with all_running(postgres, redis, rabbit):
        yield Servers(postgres, redis, rabbit)
