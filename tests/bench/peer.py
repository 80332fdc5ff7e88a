"""The peer as a process: uvicorn, one worker, as its own documentation tells to run it in production."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing

from gofleet.listening import free_port
from tests.bench.connections import Connection
from tests.bench.servers import Servers
from tests.waiting import eventually

START_SECONDS = 60.0


@asynccontextmanager
async def a_peer(servers: Servers, name: str) -> AsyncGenerator[tuple[int, str]]:
    """Its port, and a connection string to its database; nothing of it outlives the block."""
    with servers.database(name, migrated=False) as conninfo:
        port, address = free_port("127.0.0.1", 18_800), servers.postgres.address
        database_url = f"postgresql+asyncpg://{address.user}:{address.password}@{address.host}:{address.port}/{name}"
        log = servers.place / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "uvicorn", "--factory", "tests.bench.peers.fastapi_orders:app"),
                    *("--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"),
                ],
                env=os.environ | {"PEER_DATABASE_URL": database_url},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:

            async def answers() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    with closing(await Connection.to(port)):
                        return True
                except OSError:
                    return False

            await eventually(answers, within=START_SECONDS)
            yield port, conninfo
        finally:
            process.kill()
            process.wait()
