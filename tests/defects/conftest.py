from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.adapters.redis.connection import redis_client
from gofleet.embedded import Valkey
from tests.databases import register


@pytest.fixture
async def redis(valkey_server: Valkey) -> AsyncGenerator[Redis]:
    address = valkey_server.address
    async with redis_client(address.host, address.port, password=address.password, timeout_seconds=5) as client:
        yield client


@pytest.fixture
def prefix() -> str:
    """Prefix of the test's keys in the shared Valkey."""
    return f"t-{uuid4().hex}:"


@pytest.fixture
async def pool(clean_database: str) -> AsyncGenerator[Pool]:
    async with create_pool(clean_database, size=8, wait_seconds=5) as pool:
        numbers = range(10)
        await register(pool, *(f"driver-{n}" for n in numbers), *(f"driver-of-o-{n}" for n in numbers), "by-hand")
        yield pool
