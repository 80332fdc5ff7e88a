"""TLS to PostgreSQL, RabbitMQ and Redis, with verified server certificates."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import psycopg
import pytest
import redis
from psycopg import sql

from gofleet import parts
from gofleet.adapters.postgres.migrate import apply_migrations, missing_migrations
from gofleet.adapters.postgres.pool import connection_string
from gofleet.adapters.rabbit.diagnostics import rabbit_state
from gofleet.adapters.rabbit.topology import topology_of
from gofleet.adapters.redis.audit import RedisAudit
from gofleet.domain.errors import Unavailable
from gofleet.embedded import Postgres, RabbitMQ, Valkey, running
from gofleet.embedded.certificates import Authority
from gofleet.embedded.resources import free_ports
from gofleet.listening import free_port
from gofleet.process import Process
from gofleet.roles import ORDER
from gofleet.settings import Settings, load
from tests.databases import login_of, make_logins
from tests.journeys.installation import Town, an_installation
from tests.services import a_vhost
from tests.waiting import eventually

HOST = "127.0.0.1"
PASSWORD = "of these servers' users"  # noqa: S105


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`authority.pem`, which issued `server.pem` with `server.key` for 127.0.0.1 alone, and `other.pem`, which did
    not."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority()
    authority.write_certificate(folder / "authority.pem")
    authority.issue([HOST], folder / "server.pem", folder / "server.key")
    Authority("another authority").write_certificate(folder / "other.pem")
    return folder


@pytest.fixture(scope="module")
def postgres(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Postgres]:
    """A PostgreSQL that accepts only encrypted connections with a password."""
    place = tmp_path_factory.mktemp("postgres", numbered=False)
    for folder in (place, *place.parents[:2]):
        folder.chmod(0o711)
    # The wheel's server was built without encryption.
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert installed, "PostgreSQL is missing: run `bash tests/install_servers.sh`, or `just servers`"
    with running(server := Postgres(place / "server", durable=False, bin_dir=installed[-1])):
        data, at = place / "server" / "data", server.address
        for name, there in (("server.pem", "server.crt"), ("server.key", "server.key")):
            shutil.copyfile(certificates / name, data / there)
            (data / there).chmod(0o600)
            shutil.chown(data / there, data.stat().st_uid, data.stat().st_gid)
        (data / "pg_hba.conf").write_text(f"hostssl all all {HOST}/32 scram-sha-256\n")
        with psycopg.connect(at.url, sslmode="disable", autocommit=True) as connection:
            _give_password(connection, at.user)
            connection.execute("alter system set ssl = on")
            connection.execute("select pg_reload_conf()")
        migrated = connection_string(
            host=at.host, port=at.port, user=at.user, password=PASSWORD, database=at.database,
            sslmode="verify-full", sslrootcert=str(certificates / "authority.pem"),
            connect_timeout_seconds=5, statement_timeout_ms=10_000, lock_timeout_ms=5_000,
        )  # fmt: skip
        apply_migrations(migrated)
        make_logins(migrated)
        with psycopg.connect(migrated, autocommit=True) as connection:
            for role in ORDER:
                _give_password(connection, login_of(role))
        yield server


def _give_password(connection: psycopg.Connection, user: str) -> None:
    connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(user), sql.Literal(PASSWORD)))


@pytest.fixture(scope="module")
def rabbit(certificates: Path) -> Generator[tuple[RabbitMQ, int]]:
    """A RabbitMQ and its port for encrypted connections."""
    port = free_ports(1)[0]
    settings = {
        "listeners.ssl.1": f"{HOST}:{port}",
        "ssl_options.cacertfile": str(certificates / "authority.pem"),
        "ssl_options.certfile": str(certificates / "server.pem"),
        "ssl_options.keyfile": str(certificates / "server.key"),
        "ssl_options.verify": "verify_none",
    }
    with running(server := RabbitMQ(management=True, settings=settings)):
        yield server, port


@pytest.fixture(scope="module")
def redis_port(certificates: Path) -> Generator[int]:
    """Port of Debian's Redis for encrypted connections."""
    port = free_ports(1)[0]
    settings = {
        "tls-port": str(port),
        "tls-ca-cert-file": str(certificates / "authority.pem"),
        "tls-cert-file": str(certificates / "server.pem"),
        "tls-key-file": str(certificates / "server.key"),
        "tls-auth-clients": "no",
        "user": f"gofleet on #{sha256(PASSWORD.encode()).hexdigest()} ~* &* +@all",
    }
    binary = shutil.which("redis-server")
    assert binary, "redis-server is missing: run `bash tests/install_servers.sh`, or `just servers`"
    with running(Valkey(durable=False, binary=Path(binary), settings=settings)):
        yield port


@pytest.fixture
def environment(
    certificates: Path, postgres: Postgres, rabbit: tuple[RabbitMQ, int], redis_port: int
) -> Generator[dict[str, str]]:
    trusted = str(certificates / "authority.pem")
    server, amqps = rabbit
    with a_vhost(server) as at:
        yield {
            "AUTH": "off",
            "DB_HOST": HOST,
            "DB_PORT": str(postgres.address.port),
            "DB_USER": postgres.address.user,
            "DB_PASSWORD": PASSWORD,
            "DB_NAME": postgres.address.database,
            "DB_SSLMODE": "verify-full",
            "DB_SSLROOTCERT": trusted,
            "RABBITMQ_HOST": HOST,
            "AMQP_PORT": str(amqps),
            "RABBITMQ_USER": at.user,
            "RABBITMQ_PASSWORD": at.password,
            "RABBITMQ_VHOST": at.vhost,
            "RABBITMQ_TLS": "on",
            "RABBITMQ_TLS_CA": trusted,
            "REDIS_HOST": HOST,
            "REDIS_PORT": str(redis_port),
            "REDIS_USER": "gofleet",
            "REDIS_PASSWORD": PASSWORD,
            "REDIS_TLS": "on",
            "REDIS_TLS_CA": trusted,
            "LIMITS": "on",
            "NAME_PREFIX": f"{uuid4().hex[:8]}.",
            "WEB_SERVER_HOST": HOST,
            "WEB_SERVER_PORT": str(free_port(HOST, 18_000)),
            "GRPC_PORT": str(free_port(HOST, 15_051)),
        }


@pytest.mark.parametrize("broker", ["rabbitmq", "redis"])
async def test_an_order_is_dispatched_over_encrypted_connections(
    environment: dict[str, str], rabbit: tuple[RabbitMQ, int], redis_port: int, tmp_path: Path, broker: str
) -> None:
    order_id = f"encrypted-{broker}"
    with an_installation({**environment, "BROKER": broker}, tmp_path) as installation:
        installation.start("fleet", "relay", "worker", "api")
        async with httpx.AsyncClient(base_url=installation.api, timeout=10, trust_env=False) as http:
            town = Town(http)
            await town.add_drivers(3)
            await town.create_order(order_id)

            async def is_dispatched() -> bool:
                return await town.order_status(order_id) == "DISPATCHED"

            await eventually(is_dispatched)
            assert await town.deliver_all() == 1
        assert _encrypted_in_postgres(environment) == {True}
        assert _ports_in_redis(environment) == {redis_port}
        if broker == "rabbitmq":
            # The management API's data is some seconds old.
            seen = await eventually(lambda: _encrypted_in_rabbit(rabbit[0]), within=30)
            assert all(seen)
        command = [sys.executable, "-m", "gofleet", "doctor", "--role", "api,relay,worker,fleet"]
        answer = subprocess.run(
            command, env={**os.environ, **installation.environment}, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr


def _encrypted_in_postgres(environment: dict[str, str]) -> set[bool]:
    query = "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'gofleet'"
    with psycopg.connect(parts.conninfo(_settings(environment))) as connection:
        return {encrypted for (encrypted,) in connection.execute(query).fetchall()}


def _ports_in_redis(environment: dict[str, str]) -> set[int]:
    """Server ports of gofleet's connections."""
    trusted = environment["REDIS_TLS_CA"]
    with redis.Redis(
        HOST, int(environment["REDIS_PORT"]), username="gofleet", password=PASSWORD, ssl=True, ssl_ca_certs=trusted
    ) as client:
        clients = cast("list[dict[str, str]]", cast("Any", client).client_list())
        return {int(each["laddr"].rpartition(":")[2]) for each in clients if each["user"] == "gofleet"}


def _encrypted_in_rabbit(server: RabbitMQ) -> list[bool]:
    """Whether each connection is encrypted, once every role that uses RabbitMQ is connected."""
    at = server.address
    with httpx.Client(auth=(at.user, at.password), timeout=20, trust_env=False) as http:
        answer = http.get(f"{at.management_url}/api/connections").raise_for_status().json()
    return [each["ssl"] for each in answer] if len(answer) >= len(["relay", "worker", "fleet"]) else []


async def _postgres(settings: Settings) -> object:
    try:
        return missing_migrations(parts.conninfo(settings))
    except psycopg.OperationalError as error:
        raise Unavailable("PostgreSQL", str(error)) from error


async def _rabbit(settings: Settings) -> object:
    return await rabbit_state(parts.rabbit_server(settings), topology_of(settings))


async def _redis(settings: Settings) -> None:
    async with parts.a_redis(settings, 5.0) as client:
        await RedisAudit(client, "").check()


async def _streams(settings: Settings) -> None:
    process = Process(settings)
    process.lend(parts.redis_login, None)  # it would run beside the check, until the process ends
    async with parts.publisher(process):
        await process.checks["broker"]()


@pytest.mark.parametrize(
    ("reach", "host", "authority"),
    [
        (_postgres, "DB_HOST", "DB_SSLROOTCERT"),
        (_rabbit, "RABBITMQ_HOST", "RABBITMQ_TLS_CA"),
        (_redis, "REDIS_HOST", "REDIS_TLS_CA"),
        (_streams, "REDIS_HOST", "REDIS_TLS_CA"),
    ],
)
async def test_a_server_with_an_unverified_certificate_is_refused(
    environment: dict[str, str],
    certificates: Path,
    reach: Callable[[Settings], Awaitable[object]],
    host: str,
    authority: str,
) -> None:
    given = {**environment, "BROKER": "redis" if reach is _streams else "rabbitmq"}
    await reach(_settings(given))
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await reach(_settings({**given, authority: str(certificates / "other.pem")}))
    with pytest.raises(Unavailable, match=r"(?i)hostname mismatch|does not match host name|localhost"):
        await reach(_settings({**given, host: "localhost"}))


@pytest.mark.parametrize("name", ["DB_SSLROOTCERT", "RABBITMQ_TLS_CA", "REDIS_TLS_CA", "GRPC_TLS_CA"])
def test_an_invalid_certificate_file_is_reported_at_the_start(name: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "torn").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    more = {"GRPC_TLS_CERT": "x", "GRPC_TLS_KEY": "y"} if name == "GRPC_TLS_CA" else {}
    for file, why in (("missing", "No such file"), ("text", "no PEM file"), ("torn", "no certificate")):
        with pytest.raises(Exception, match=f"{name} is wrong: .*{file}' from the environment: .*{why}"):
            _settings({name: str(tmp_path / file), **more})


def _settings(environment: dict[str, str]) -> Settings:
    return load(environment, dotenv=None)
