"""A small installation on PostgreSQL and Valkey, with Redis Streams as its broker."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict

from gofleet.adapters.postgres.pool import create_pool
from gofleet.adapters.redis.connection import redis_client
from gofleet.embedded import Postgres, Valkey
from gofleet.settings import load
from tests.verification.world import VerifiedInstallation


@pytest.fixture
def environment(postgres_server: Postgres, valkey_server: Valkey, clean_database: str) -> dict[str, str]:
    """Settings of an installation with its own database and key prefix."""
    db, redis = postgres_server.address, valkey_server.address
    return {
        "BROKER": "redis",
        "DB_HOST": db.host,
        "DB_PORT": str(db.port),
        "DB_USER": db.user,
        "DB_PASSWORD": db.password,
        "DB_NAME": str(conninfo_to_dict(clean_database)["dbname"]),
        "REDIS_HOST": redis.host,
        "REDIS_PORT": str(redis.port),
        "REDIS_PASSWORD": redis.password,
        "NAME_PREFIX": f"{uuid4().hex[:8]}.",
    }


@pytest.fixture
async def world(
    environment: dict[str, str], clean_database: str, tmp_path: Path
) -> AsyncGenerator[VerifiedInstallation]:
    settings = load(environment, dotenv=None)
    async with (
        create_pool(clean_database, size=2, wait_seconds=5) as pool,
        redis_client(
            settings.redis.host, settings.redis.port, password=settings.redis.password, timeout_seconds=5
        ) as redis,
    ):
        world = VerifiedInstallation(settings, clean_database, pool, redis, tmp_path)
        await world.populate()
        yield world
