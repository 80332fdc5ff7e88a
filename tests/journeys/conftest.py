"""An installation on RabbitMQ, PostgreSQL and Valkey, given by the seed's environment variables."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

from gofleet.adapters.rabbit.topology import Topology
from gofleet.embedded import Postgres, RabbitMQ, Valkey
from gofleet.listening import free_port
from tests.journeys.installation import Installation, Town, an_installation
from tests.rights.logins import merged, rabbit_logins, redis_logins
from tests.services import a_vhost


@pytest.fixture
def installation(
    postgres_server: Postgres, valkey_server: Valkey, rabbit_server: RabbitMQ, clean_database: str, tmp_path: Path
) -> Generator[Installation]:
    db = postgres_server.address
    prefix = f"{uuid4().hex[:8]}."  # the tests share one Valkey
    valkey = valkey_server.address
    with (
        a_vhost(rabbit_server) as rabbit,
        rabbit_logins(rabbit, Topology(prefix)) as at_rabbit,
        redis_logins(valkey, prefix) as at_redis,
    ):
        environment = {
            "DB_HOST": db.host,
            "DB_PORT": str(db.port),
            "DB_USER": db.user,
            "DB_PASSWORD": db.password,
            "DB_NAME": str(conninfo_to_dict(clean_database)["dbname"]),
            "RABBITMQ_HOST": rabbit.host,
            "AMQP_PORT": str(rabbit.port),
            "RABBITMQ_USER": rabbit.user,
            "RABBITMQ_PASSWORD": rabbit.password,
            "RABBITMQ_VHOST": rabbit.vhost,
            "REDIS_HOST": valkey.host,
            "REDIS_PORT": str(valkey.port),
            "REDIS_PASSWORD": valkey.password,
            "NAME_PREFIX": prefix,
            "WEB_SERVER_PORT": str(free_port("127.0.0.1", 18_000)),
            "GRPC_PORT": str(free_port("127.0.0.1", 15_051)),
        }
        with an_installation(environment, tmp_path, merged(at_rabbit, at_redis)) as started:
            yield started


@pytest.fixture
async def town(installation: Installation) -> AsyncGenerator[Town]:
    async with httpx.AsyncClient(base_url=installation.api, timeout=10, trust_env=False) as http:
        yield Town(http)
