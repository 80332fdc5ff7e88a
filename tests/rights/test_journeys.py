"""Orders are processed while every role uses only its own user at RabbitMQ, Valkey and Redis."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict
from redis import Redis

from gofleet.adapters.rabbit.topology import Topology
from gofleet.adapters.redis.names import StreamNames
from gofleet.domain.messages import DISPATCH_QUEUE
from gofleet.embedded import Postgres, RabbitMQ, Valkey, ValkeyAddress
from gofleet.embedded.resources import free_ports
from tests.journeys.installation import Installation, Town, an_installation
from tests.rights.logins import Logins, merged, rabbit_logins, redis_logins
from tests.rights.valkeys import PASSWORDS, ContainerValkey
from tests.services import a_vhost
from tests.waiting import eventually

ROLES = ("fleet", "relay", "worker", "api")
SETTINGS = {"LIMITS": "on", "LIMIT_PEER_RATE": "0.1", "LIMIT_PEER_BURST": "10000", "WORKER_MAX_ATTEMPTS": "2"}
"""A rate so low that a bucket stays visible."""


def environment(postgres: Postgres, database: str, redis: ValkeyAddress) -> dict[str, str]:
    db = postgres.address
    return {
        **SETTINGS,
        "DB_HOST": db.host,
        "DB_PORT": str(db.port),
        "DB_USER": db.user,
        "DB_PASSWORD": db.password,
        "DB_NAME": str(conninfo_to_dict(database)["dbname"]),
        "REDIS_HOST": redis.host,
        "REDIS_PORT": str(redis.port),
        "REDIS_PASSWORD": redis.password,
        "WEB_SERVER_PORT": str(free_ports(1)[0]),
        "GRPC_PORT": str(free_ports(1)[0]),
    }


@contextmanager
def refusing_nothing(admin: Any, prefix: str) -> Generator[None]:
    """Assert that Redis refused no command of a role within the block: roles may ignore errors."""
    admin.execute_command("ACL", "LOG", "RESET")
    yield
    ours = [one for one in admin.acl_log() if str(one["username"]).startswith(prefix)]
    # FastStream sets a client name and ignores the error: no ACL rule of Redis 7.0 can allow it.
    assert [one for one in ours if one["object"] != "client|setinfo"] == []


def buckets(admin: Any) -> list[bytes]:
    return list(admin.scan_iter("gofleet:bucket:*"))


@asynccontextmanager
async def a_town(installation: Installation) -> AsyncGenerator[Town]:
    async with httpx.AsyncClient(base_url=installation.api, timeout=10, trust_env=False) as http:
        yield Town(http)


async def until(town: Town, order: str, status: str) -> None:
    async def reached() -> bool:
        return await town.order_status(order) == status

    await eventually(reached, within=60, every=0.1)


async def works_with_and_without_a_fleet(installation: Installation) -> None:
    """One order is dispatched and delivered; without the fleet another is escalated to manual dispatch."""
    fleet, *_ = installation.start(*ROLES)
    async with a_town(installation) as town:
        await town.add_drivers(2)
        await town.create_order("o-1")
        await until(town, "o-1", "DISPATCHED")
        assert await town.deliver_all() == 1
        fleet.send_signal(signal.SIGKILL)
        fleet.wait()
        await town.create_order("o-2")
        await until(town, "o-2", "MANUAL_DISPATCH")
        installation.start("fleet")
        await town.http.post("/api/v1/orders/o-2/redispatch")
        await until(town, "o-2", "DISPATCHED")


async def test_with_the_files_of_the_containers(
    container_valkey: ContainerValkey,
    rabbit_server: RabbitMQ,
    postgres_server: Postgres,
    clean_database: str,
    tmp_path: Path,
) -> None:
    at, admin = container_valkey.address, PASSWORDS["ADMIN_PASSWORD"]
    at_redis: Logins = {
        role: {"REDIS_USER": role, "REDIS_PASSWORD": PASSWORDS[f"{role.upper()}_PASSWORD"]}
        for role in ("api", "worker", "fleet")
    }
    with (
        a_vhost(rabbit_server) as rabbit,
        rabbit_logins(rabbit, Topology()) as at_rabbit,
        Redis(at.host, at.port, password=admin) as redis,
    ):
        where = {"RABBITMQ_HOST": rabbit.host, "AMQP_PORT": str(rabbit.port), "RABBITMQ_VHOST": rabbit.vhost}
        given = environment(postgres_server, clean_database, at) | where
        with refusing_nothing(redis, ""), an_installation(given, tmp_path, merged(at_rabbit, at_redis)) as started:
            await works_with_and_without_a_fleet(started)
            assert set(started.stop().values()) == {0}
        assert buckets(redis), "the api has counted no request"


@pytest.mark.parametrize("server", ["valkey_server", "redis_server"])
async def test_with_events_in_streams(
    request: pytest.FixtureRequest, server: str, postgres_server: Postgres, clean_database: str, tmp_path: Path
) -> None:
    at: Valkey = request.getfixturevalue(server)
    prefix = "streams."
    with (
        redis_logins(at.address, prefix, streams=True) as logins,
        Redis(at.address.host, at.address.port, password=at.address.password) as admin,
        refusing_nothing(admin, prefix),
    ):
        more = {"BROKER": "redis", "NAME_PREFIX": prefix}
        given = environment(postgres_server, clean_database, at.address) | more
        with an_installation(given, tmp_path, logins) as started:
            await works_with_and_without_a_fleet(started)
            async with a_town(started) as town:
                await parked_and_replayed(town, admin, StreamNames(f"{prefix}gofleet:").stream(DISPATCH_QUEUE))
            assert set(started.stop().values()) == {0}


async def parked_and_replayed(town: Town, admin: Redis, stream: str) -> None:
    """A malformed message is parked, replayed by a relay, and parked again."""

    async def parked(state: str) -> bool:
        answer = await town.http.get("/api/v1/parked", params={"state": state})
        return len(answer.raise_for_status().json()["items"]) == 1

    admin.xadd(stream, {"x": "malformed"})
    await eventually(lambda: parked("waiting"), within=60, every=0.1)
    wish: dict[str, object] = {"filter": {}, "expected_count": 1}
    assert (await town.http.post("/api/v1/parked/replay", json=wish)).is_success
    await eventually(lambda: parked("replayed"), within=60, every=0.1)
    await eventually(lambda: parked("waiting"), within=60, every=0.1)
