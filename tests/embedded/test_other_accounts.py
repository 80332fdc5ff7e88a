"""Another account of the same machine can neither use an embedded server nor read its secrets."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import aio_pika
import psycopg
import pytest
import redis
from aiormq.exceptions import AMQPConnectionError

from gofleet.embedded import Postgres, RabbitMQ, Server, Valkey, running
from tests.embedded.processes import parents_by_pid
from tests.embedded.test_life import a_client

OTHER_ACCOUNT = "65533"
AS_OTHER_ACCOUNT = ["setpriv", "--reuid", OTHER_ACCOUNT, "--regid", OTHER_ACCOUNT, "--clear-groups", "--"]
GUESSES = ("", "gofleet", "guest")


@pytest.fixture(scope="module")
def folder() -> Generator[Path]:
    """A folder that all accounts may enter, as `--data` may be."""
    with tempfile.TemporaryDirectory(prefix="gofleet-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def servers(folder: Path) -> Generator[tuple[Postgres, Valkey, RabbitMQ]]:
    servers = (
        Postgres(folder / "postgres", durable=False),
        Valkey(folder / "valkey"),
        RabbitMQ(folder / "rabbit", management=True),
    )
    with running(*servers):
        yield servers


@pytest.mark.parametrize("password", GUESSES)
def test_postgresql_refuses_a_login_without_the_password(
    servers: tuple[Postgres, Valkey, RabbitMQ], password: str
) -> None:
    at = servers[0].address
    for database in ("postgres", at.database):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host=at.host, port=at.port, user=at.user, password=password, dbname=database)


@pytest.mark.parametrize("password", GUESSES)
def test_valkey_refuses_a_client_without_the_password(
    servers: tuple[Postgres, Valkey, RabbitMQ], password: str
) -> None:
    at = servers[1].address
    with redis.Redis(at.host, at.port, password=password) as client, pytest.raises(redis.AuthenticationError):
        client.get("hello")


@pytest.mark.parametrize("user", ["gofleet", "guest"])
async def test_rabbitmq_refuses_a_login_without_the_password(
    servers: tuple[Postgres, Valkey, RabbitMQ], user: str
) -> None:
    at = servers[2].address
    for password in GUESSES:
        with pytest.raises(AMQPConnectionError):
            await aio_pika.connect(host=at.host, port=at.port, login=user, password=password)


async def test_they_accept_the_password(servers: tuple[Postgres, Valkey, RabbitMQ]) -> None:
    postgres, valkey, rabbit = servers
    psycopg.connect(postgres.address.url).close()
    with a_client(valkey) as client:
        assert client.get("hello") is None
    await (await aio_pika.connect(rabbit.address.url)).close()


def test_another_account_can_read_no_file(servers: tuple[Postgres, Valkey, RabbitMQ], folder: Path) -> None:
    if os.geteuid() != 0:
        modes = {path: path.stat().st_mode for path in folder.rglob("*") if path.is_file()}
        assert [path for path, mode in modes.items() if mode & (stat.S_IRGRP | stat.S_IROTH)] == []
        return
    assert as_other_account("find", str(folder), "-maxdepth", "1", "-name", "valkey") != ""  # it enters the folder
    for server in servers:
        assert as_other_account("find", str(server.log.parent), "-mindepth", "1") == ""
        assert as_other_account("cat", *(f"/proc/{pid}/environ" for pid in family(*servers))) == ""
    # Nor if it could enter the servers' own folders.
    for server in servers:
        server.log.parent.chmod(0o755)
    assert as_other_account("find", str(folder), "-type", "f", "-readable", "-not", "-name", "PG_VERSION") == ""


def test_no_secret_is_on_a_command_line(servers: tuple[Postgres, Valkey, RabbitMQ]) -> None:
    secrets = {server.address.password for server in servers}
    assert len(secrets) == len(servers)
    for pid in parents_by_pid():
        line = Path(f"/proc/{pid}/cmdline")
        text = line.read_text(errors="replace") if line.exists() else ""
        assert not any(secret in text for secret in secrets), text


def test_all_their_listeners_are_on_the_loopback_interface(servers: tuple[Postgres, Valkey, RabbitMQ]) -> None:
    rows = subprocess.run(["ss", "-Hltnp"], check=True, capture_output=True, text=True).stdout.splitlines()
    pids = family(*servers)
    ours = [row.split()[3] for row in rows if any(f"pid={pid}," in row for pid in pids)]

    assert len(ours) >= 6  # PostgreSQL, Valkey, AMQP, management, distribution, epmd
    assert [address for address in ours if not address.startswith(("127.0.0.1:", "[::1]:"))] == []


def test_each_start_of_a_program_has_a_new_password(tmp_path: Path) -> None:
    passwords = set[str]()
    for _ in range(2):
        postgres, valkey = Postgres(tmp_path / "postgres"), Valkey(tmp_path / "valkey")
        with running(postgres, valkey):
            psycopg.connect(postgres.address.url).close()
            with a_client(valkey) as client:
                assert client.get("hello") is None
            passwords |= {postgres.address.password, valkey.address.password}

    assert len(passwords) == 4


def as_other_account(*command: str) -> str:
    """Standard output of the command as another account, without root's capabilities."""
    done = subprocess.run([*AS_OTHER_ACCOUNT, *command], check=False, capture_output=True, text=True, cwd="/")
    return done.stdout


def family(*servers: Server[Any]) -> set[int]:
    """Every process of the servers."""
    found = {pid for server in servers for pid in server.pids}
    parents = parents_by_pid()
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found
