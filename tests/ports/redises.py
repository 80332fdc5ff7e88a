"""The servers on which the Redis adapters are tested."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from gofleet.adapters.redis.connection import redis_client

SERVERS = ["valkey_server", "redis_server"]


@asynccontextmanager
async def a_client(request: pytest.FixtureRequest, server: str) -> AsyncGenerator[tuple[Redis, str]]:
    """A client of the server whose fixture has that name, and a prefix of its own.

    Its timeout is generous: what is tested here is not how fast a loaded machine is.
    """
    address = request.getfixturevalue(server).address
    async with redis_client(address.host, address.port, password=address.password, timeout_seconds=5) as redis:
        yield redis, f"t-{uuid4().hex}:"
