"""Each failure of a server has a result and a fix of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import aio_pika
import psycopg
import pytest

from gofleet.adapters.rabbit.topology import topology_of
from gofleet.adapters.redis.connection import redis_client
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.doctor import CheckState
from gofleet.embedded import Postgres, Valkey, ValkeyAddress, running
from gofleet.parts import a_redis, conninfo
from gofleet.settings import load
from tests.databases import conninfo_of, login_of
from tests.doctor.conftest import Installation, results_of
from tests.makers import a_position
from tests.waiting import eventually

PORTS = {"PostgreSQL": "DB_PORT", "RabbitMQ": "AMQP_PORT", "Redis": "REDIS_PORT"}


@pytest.mark.parametrize("subject", PORTS)
async def test_a_stopped_server(installation: Installation, subject: str) -> None:
    installation.environment[PORTS[subject]] = "1"

    await installation.expect(subject, "reachable", says="Connection refused", fix="start ")


@pytest.mark.parametrize("subject", PORTS)
async def test_a_server_that_accepts_connections_and_does_not_answer(installation: Installation, subject: str) -> None:
    async with a_silent_server() as port:
        installation.environment[PORTS[subject]] = str(port)
        installation.environment["DB_CONNECT_TIMEOUT_SECONDS"] = "2"
        began = asyncio.get_running_loop().time()

        await installation.expect(subject, "reachable", says=str(port), fix="accepts connections but does not answer")

        assert asyncio.get_running_loop().time() - began < 30


async def test_a_host_that_does_not_exist(installation: Installation) -> None:
    installation.environment["RABBITMQ_HOST"] = "nowhere.invalid"

    await installation.expect("RabbitMQ", "reachable", says="nowhere.invalid", fix="RABBITMQ_HOST")


@pytest.mark.parametrize("setting", ["RABBITMQ_PASSWORD", "RABBITMQ_USER", "RABBITMQ_VHOST"])
async def test_a_rabbitmq_login_that_is_refused(installation: Installation, setting: str) -> None:
    installation.environment[setting] = "wrong"

    await installation.expect("RabbitMQ", "login", says="", fix=setting)


@pytest.mark.parametrize(("setting", "says"), [("DB_USER", "wrong"), ("DB_NAME", "wrong")])
async def test_a_postgresql_login_that_is_refused(installation: Installation, setting: str, says: str) -> None:
    installation.environment[setting] = "wrong"

    await installation.expect("PostgreSQL", "login", says=says, fix=setting)


async def test_a_wrong_password_of_postgresql(installation: Installation) -> None:
    installation.environment |= {"DB_PASSWORD": "hunter2"}

    diagnosis = await installation.expect("PostgreSQL", "login", says="password authentication", fix="DB_PASSWORD")

    assert "hunter2" not in str(diagnosis)


async def test_a_login_that_may_create_temporary_tables(installation: Installation, clean_database: str) -> None:
    """The database of the test is a copy, and copies have the privileges of any new database."""
    installation.environment["DB_USER"] = login_of("relay")
    installation.roles = ("relay",)

    fix = f'revoke temporary on database "{installation.environment["DB_NAME"]}" from public'
    await installation.expect("PostgreSQL", "temporary tables", CheckState.WARNING, says="relay_alone may", fix=fix)
    with psycopg.connect(clean_database, autocommit=True) as connection:
        connection.execute(fix.encode())
    assert all(result.state is CheckState.OK for result in (await installation.diagnose()).results)


async def test_a_login_without_a_privilege(installation: Installation) -> None:
    installation.environment["DB_USER"] = login_of("fleet")
    installation.roles, installation.options = ("fleet", "relay"), {"url": None}

    await installation.expect("PostgreSQL", "privileges", says="delete on outbox", fix="grant gofleet_relay to")


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_a_redis_login_that_is_refused(installation: Installation, password: str) -> None:
    with a_valkey() as at:
        installation.environment |= {"REDIS_PORT": str(at.port), "REDIS_PASSWORD": password}

        found = results_of(await installation.diagnose(), "Redis")["login"]
        assert (found.state, "REDIS_PASSWORD" in found.fix) == (CheckState.FAILED, True)


async def test_a_missing_migration(installation: Installation, clean_database: str) -> None:
    with psycopg.connect(clean_database, autocommit=True) as connection:
        connection.execute("delete from schema_migrations where name >= '0003'")

    await installation.expect("PostgreSQL", "schema", says="lacks 0003", fix="gofleet migrate")


async def test_a_database_without_a_schema(installation: Installation) -> None:
    installation.environment["DB_NAME"] = "postgres"

    await installation.expect("PostgreSQL", "schema", says="lacks 0001_orders", fix="gofleet migrate")


async def test_a_database_with_later_migrations(installation: Installation, clean_database: str) -> None:
    with psycopg.connect(clean_database, autocommit=True) as connection:
        connection.execute("insert into schema_migrations (name, digest) values ('9999_flight', '')")

    await installation.expect(
        "PostgreSQL", "schema", says="9999_flight", fix="program version that this database belongs to"
    )


async def test_a_read_only_database(installation: Installation, postgres_server: Postgres) -> None:
    name = installation.environment["DB_NAME"]
    with psycopg.connect(conninfo_of(postgres_server, "postgres"), autocommit=True) as connection:
        connection.execute(f"alter database {name} set default_transaction_read_only = on".encode())

    await installation.expect("PostgreSQL", "writable", says="standby", fix="primary")


async def test_sessions_without_timeouts(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gofleet.parts.conninfo", _without_options)  # as a pooler does

    await installation.expect("PostgreSQL", "timeouts", CheckState.WARNING, says="statements 0 ms", fix="pooler")


def _without_options(settings: Any) -> str:
    db = settings.postgres
    return f"host={db.host} port={db.port} user={db.user} password={db.password} dbname={db.database}"


async def test_too_few_free_connections(installation: Installation) -> None:
    installation.environment["DB_POOL_SIZE"] = "500"

    await installation.expect("PostgreSQL", "connections", CheckState.WARNING, says="up to 500", fix="DB_POOL_SIZE")


@pytest.mark.parametrize(
    ("seconds", "state"), [(3.0, CheckState.WARNING), (-3.0, CheckState.WARNING), (60, CheckState.FAILED)]
)
async def test_a_clock_that_is_wrong(installation: Installation, seconds: float, state: CheckState) -> None:
    installation.clock = lambda: datetime.now(UTC) + timedelta(seconds=seconds)

    diagnosis = await installation.diagnose()

    for subject in ("PostgreSQL", "Redis"):
        found = results_of(diagnosis, subject)["clock"]
        assert found.state is state
        assert ("ahead of" if seconds < 0 else "behind") in found.seen
        assert "NTP" in found.fix
    assert diagnosis.healthy == (state is CheckState.WARNING)


@asynccontextmanager
async def a_channel(installation: Installation) -> AsyncGenerator[aio_pika.abc.AbstractChannel]:
    async with await aio_pika.connect(installation.rabbit.url) as connection, connection.channel() as channel:
        yield channel


def name_of(installation: Installation, queue: str) -> str:
    return installation.environment["NAME_PREFIX"] + queue


async def test_a_missing_queue(installation: Installation) -> None:
    queue = name_of(installation, "orders.created.retry.5s")
    async with a_channel(installation) as channel:
        await channel.queue_delete(queue)

    await installation.expect("RabbitMQ", "topology", says=f"{queue} missing", fix="start a relay or a worker")
    await installation.expect(
        "RabbitMQ", "topology", says=f"{queue} missing", fix="start"
    )  # and the diagnosis did not declare it


async def test_a_missing_exchange(installation: Installation) -> None:
    async with a_channel(installation) as channel:
        await channel.exchange_delete(name_of(installation, "orders"))

    await installation.expect("RabbitMQ", "topology", says="orders missing", fix="start a relay or a worker")


async def test_a_queue_of_another_type(installation: Installation) -> None:
    queue = name_of(installation, "fleet.drivers")
    async with a_channel(installation) as channel:
        await channel.queue_delete(queue)
        await channel.declare_queue(queue, durable=True)

    await installation.expect("RabbitMQ", "topology", says=f"{queue}: PRECONDITION_FAILED", fix="drain and delete it")


async def test_a_queue_with_another_argument(installation: Installation) -> None:
    installation.environment["DELIVERY_LIMIT"] = "7"

    diagnosis = await installation.diagnose()

    wrong = [each for each in diagnosis.results if each.state is not CheckState.OK]
    assert [each.check for each in wrong] == ["topology"] * 2
    assert all("x-delivery-limit" in each.seen for each in wrong)


async def test_an_exchange_of_another_type(installation: Installation) -> None:
    name = name_of(installation, "orders")
    async with a_channel(installation) as channel:
        await channel.exchange_delete(name)
        await channel.declare_exchange(name, "fanout", durable=True)

    await installation.expect("RabbitMQ", "topology", says="inequivalent arg 'type'", fix="another NAME_PREFIX")


async def test_a_broker_without_any_declaration(installation: Installation) -> None:
    installation.environment["NAME_PREFIX"] = "new."

    await installation.expect(
        "RabbitMQ", "topology", CheckState.WARNING, says="nothing is declared yet", fix="when they start"
    )
    async with a_channel(installation) as channel:
        names = topology_of(load(installation.environment, dotenv=None)).names()
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await channel.declare_queue(names[0], passive=True)


async def test_a_redis_that_evicts_keys(installation: Installation) -> None:
    with a_valkey() as at:
        async with redis_client(at.host, at.port, password=at.password) as redis:
            await cast("Any", redis).config_set("maxmemory-policy", "allkeys-lru")
        installation.environment |= {"REDIS_PORT": str(at.port), "REDIS_PASSWORD": at.password}

        await installation.expect("Redis", "eviction", CheckState.WARNING, says="allkeys-lru", fix="noeviction")


async def test_a_redis_that_carries_events_without_persistence(installation: Installation) -> None:
    installation.environment["BROKER"] = "redis"

    await installation.expect("Redis", "persistence", CheckState.WARNING, says="all events are lost", fix="appendonly")


async def test_a_redis_that_refuses_a_command(installation: Installation) -> None:
    with a_valkey() as at:
        async with redis_client(at.host, at.port, password=at.password) as redis:
            await cast("Any", redis).execute_command("ACL", "SETUSER", "default", "-geosearch")
        installation.environment |= {"REDIS_PORT": str(at.port), "REDIS_PASSWORD": at.password}

        await installation.expect("Redis", "commands", says="GEOSEARCH", fix="ACL")


async def test_a_replica_of_redis(installation: Installation) -> None:
    with a_valkey() as at, a_valkey() as of:
        # A long timeout, because a server that becomes a replica is busy for a while.
        async with redis_client(at.host, at.port, password=at.password, timeout_seconds=10) as redis:
            client = cast("Any", redis)
            await client.config_set("masterauth", of.password)
            await client.execute_command("REPLICAOF", of.host, of.port)
            await eventually(lambda: _linked(client))
        installation.environment |= {"REDIS_PORT": str(at.port), "REDIS_PASSWORD": at.password}

        await installation.expect("Redis", "writable", says="replica", fix="primary")


async def _linked(client: Any) -> bool:
    return (await client.info("replication"))["master_link_status"] == "up"


@contextmanager
def a_valkey() -> Generator[ValkeyAddress]:
    """A server that a test may misconfigure."""
    server = Valkey(durable=False)
    with running(server):
        yield server.address


@asynccontextmanager
async def a_silent_server() -> AsyncGenerator[int]:
    """Port of a server that accepts connections and never answers."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with_it.append(writer)
        await reader.read()

    with_it: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in with_it:
            writer.close()
        server.close()


async def test_drivers_that_send_positions_and_are_not_registered(installation: Installation) -> None:
    settings = load(installation.environment, dotenv=None)
    redis, prefix = a_redis(settings), settings.general.key_prefix
    async with redis:
        positions = RedisPositions(redis, prefix=prefix, stale_seconds=60, claim_ms=1000)
        with psycopg.connect(conninfo(settings), autocommit=True) as connection:
            connection.execute("insert into drivers (id, name) values ('ana', 'Ana')")
        await positions.update_positions([a_position(driver_id) for driver_id in ("ana", "ghost", "spook")])
        old = {"name": "old", "on_duty": "1", "lat": "1", "lng": "1", "recorded_at": "1"}  # of an earlier release
        await cast("Any", redis).hset(f"{prefix}driver:old", mapping=old)

        await installation.expect(
            "Redis",
            "drivers",
            CheckState.WARNING,
            says="3 that send positions are not registered and get no orders: ghost, old, spook",
            fix="`gofleet drivers set ID --name NAME`",
        )
