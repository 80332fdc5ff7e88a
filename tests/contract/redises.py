"""The servers that the Redis adapters must work on: Valkey, and this machine's own Redis if it has one."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from gofleet.adapters.redis.connect import redis_client
from gofleet.embedded import Valkey, running

OWN_REDIS = shutil.which("redis-server")
SERVERS = ["valkey_server", *(["own_redis_server"] if OWN_REDIS else [])]


@pytest.fixture(scope="session")
def own_redis_server() -> Generator[Valkey]:
    server = Valkey(durable=False, binary=Path(OWN_REDIS or ""))
    with running(server):
        yield server


@asynccontextmanager
async def a_client(request: pytest.FixtureRequest, server: str) -> AsyncGenerator[tuple[Redis, str]]:
    """A client of the server whose fixture has that name, and a prefix nobody else uses.

    Its timeout is generous: what is tested here is not how fast a loaded machine is.
    """
    address = request.getfixturevalue(server).address
    async with redis_client(address.host, address.port, timeout_seconds=5) as redis:
        yield redis, f"t-{uuid4().hex}:"
