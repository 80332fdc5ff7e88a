"""The first contact with a server: one that refuses the settings ends a role, one that is not there is awaited."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from gofleet import first_contact
from gofleet.cli.errors import CliError, to_cli_error
from gofleet.domain.errors import LoginRefused, Misconfigured, Unavailable
from gofleet.embedded import RabbitMQ, Valkey
from gofleet.embedded import running as starting
from gofleet.embedded.resources import free_ports
from gofleet.first_contact import REJECTIONS_MAX, ConfiguredServer, StartError, until_answered
from gofleet.process import Process
from gofleet.roles import ORDER, role
from gofleet.settings import load
from gofleet.waiting import sleep_unless
from tests.auth.provider import METADATA, Page, a_provider
from tests.cli.program import line_labels
from tests.logs import logged
from tests.services import a_vhost
from tests.verification.conftest import environment
from tests.waiting import eventually

__all__ = ["environment"]

PASSWORD = uuid4().hex
SERVER = ConfiguredServer("Postman", "there:1", "POST_HOST", "POST_PASSWORD")
REFUSED = {
    "PostgreSQL": ({"DB_PASSWORD": "wrong"}, {"DB_PASSWORD": ""}, {"DB_USER": "nobody"}, {"DB_NAME": "nowhere"}),
    "RabbitMQ": ({"RABBITMQ_PASSWORD": "wrong"}, {"RABBITMQ_USER": "nobody"}, {"RABBITMQ_VHOST": "nowhere"}),
    "Redis": ({"REDIS_PASSWORD": "wrong"}, {"REDIS_PASSWORD": ""}, {"REDIS_USER": "nobody"}, {"REDIS_DB": "999"}),
}
SERVERS_OF = {
    "fleet": ("PostgreSQL", "RabbitMQ", "Redis"),
    "relay": ("PostgreSQL", "RabbitMQ"),
    "worker": ("PostgreSQL", "RabbitMQ", "Redis"),
    "api": ("PostgreSQL", "Redis"),
}
PROGRAM = """
from gofleet import cli, first_contact
first_contact.FIRST_DELAY_SECONDS = first_contact.DELAY_SECONDS_MAX = 0.01
cli.main()
"""
CASES = [
    (name, server, wrong) for name, servers in SERVERS_OF.items() for server in servers for wrong in REFUSED[server]
]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_contact, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(first_contact, "DELAY_SECONDS_MAX", 0.02)


@pytest.fixture
def log() -> Generator[list[str]]:
    with logged() as lines:
        yield lines


@pytest.fixture
async def settings(environment: dict[str, str], rabbit_server: RabbitMQ) -> AsyncGenerator[dict[str, str]]:
    """Those of an installation whose servers answer."""
    with a_vhost(rabbit_server) as rabbit:
        web, grpc, metrics = free_ports(3)
        yield environment | {
            "BROKER": "rabbitmq",
            "LIMITS": "on",
            "RABBITMQ_HOST": rabbit.host,
            "AMQP_PORT": str(rabbit.port),
            "RABBITMQ_USER": rabbit.user,
            "RABBITMQ_PASSWORD": rabbit.password,
            "RABBITMQ_VHOST": rabbit.vhost,
            "WEB_SERVER_PORT": str(web),
            "GRPC_PORT": str(grpc),
            "METRICS_PORT": str(metrics),
        }


async def ended(name: str, settings: dict[str, str]) -> CliError:
    """The error with which a role ends by itself."""
    process = Process(load(settings, dotenv=None), [name])
    async with asyncio.timeout(30):
        with pytest.raises((StartError, ExceptionGroup)) as raised:
            await process.run([role(name)])
    error = to_cli_error(raised.value)
    assert error is not None
    return error


@asynccontextmanager
async def running(name: str, settings: dict[str, str]) -> AsyncGenerator[Process]:
    """A role during the block, which must not end by itself."""
    process = Process(load(settings, dotenv=None), [name])
    run = asyncio.create_task(process.run([role(name)]))
    try:
        yield process
        assert not run.done(), run.exception()
    finally:
        process.stopping.set()
        await asyncio.wait_for(run, 30)


async def is_started(process: Process) -> bool:
    try:
        await process.checks["started"]()
    except RuntimeError:
        return False
    return True


def errors_in(log: list[str]) -> list[str]:
    return [line for line in log if line.startswith("ERROR")]


@pytest.mark.parametrize(("name", "server", "wrong"), CASES)
async def test_a_role_ends_when_a_server_refuses_its_settings(
    settings: dict[str, str], log: list[str], name: str, server: str, wrong: dict[str, str]
) -> None:
    error = await ended(name, settings | wrong)

    assert error.exit_code == 1
    assert error.what == f"{server} refused the login"
    assert next(iter(wrong)) in error.fix
    [line] = errors_in(log)
    assert f"{server} refused the login" in line


async def test_a_relay_ends_when_redis_as_its_broker_refuses_it(settings: dict[str, str]) -> None:
    error = await ended("relay", settings | {"BROKER": "redis", "REDIS_PASSWORD": "wrong"})

    assert error.what == "Redis refused the login"


async def test_the_api_ends_when_the_issuer_is_another(settings: dict[str, str]) -> None:
    async with a_provider() as provider:
        oidc = {"AUTH": "oidc", "AUTH_ISSUER": provider.url, "AUTH_AUDIENCE": "gofleet"}
        assert "answers 404" in (await ended("api", settings | oidc)).why

        provider.publish({"keys": []}, issuer="http://another.example")
        error = await ended("api", settings | oidc)

    assert error.what == "The token issuer is not as configured"
    assert "http://another.example" in error.why
    assert "AUTH_ISSUER" in error.fix


async def test_the_api_waits_for_an_issuer_that_fails(settings: dict[str, str], log: list[str]) -> None:
    async with a_provider() as provider:
        provider.pages[METADATA] = Page(503, b"")
        oidc = {"AUTH": "oidc", "AUTH_ISSUER": provider.url, "AUTH_AUDIENCE": "gofleet"}
        async with running("api", settings | oidc):
            await eventually(lambda: len(provider.requests) > 2 * REJECTIONS_MAX)

    [line] = errors_in(log)
    assert "The token issuer is not reachable" in line


@pytest.mark.parametrize("name", ORDER)
async def test_a_role_waits_for_a_database_that_is_not_there(
    settings: dict[str, str], log: list[str], name: str
) -> None:
    nowhere = {"DB_PORT": str(free_ports(1)[0])}
    async with running(name, settings | nowhere) as process:
        await asyncio.sleep(0.02 * 5 * REJECTIONS_MAX)  # that nothing happens cannot be awaited
        assert not await is_started(process)

    [line] = errors_in(log)
    for words in ("PostgreSQL is not reachable", nowhere["DB_PORT"], "DB_HOST", "`gofleet doctor`", "`gofleet demo`"):
        assert words in line


async def test_a_role_starts_without_its_broker_and_finds_it_later(settings: dict[str, str], log: list[str]) -> None:
    [port] = free_ports(1)
    given = settings | {"BROKER": "redis", "REDIS_PORT": str(port), "REDIS_PASSWORD": PASSWORD}
    async with running("relay", given) as process:
        await eventually(lambda: is_started(process))
        [line] = errors_in(log)
        assert "Redis is not reachable" in line
        with starting(Valkey(port=port, durable=False, password=PASSWORD)):
            await eventually(lambda: is_ready(process, "broker"))


async def is_ready(process: Process, check: str) -> bool:
    try:
        await process.checks[check]()
    except Unavailable:
        return False
    return True


async def test_after_the_first_answer_a_refused_login_is_an_outage(
    settings: dict[str, str], valkey_server: Valkey
) -> None:
    at, user = valkey_server.address, f"user-{uuid4().hex}"
    given = settings | {"REDIS_USER": user, "REDIS_PASSWORD": PASSWORD}
    async with cast("Any", Redis(host=at.host, port=at.port, password=at.password)) as redis:
        await redis.execute_command("ACL", "SETUSER", user, "on", f">{PASSWORD}", "~*", "+@all")
        try:
            async with running("worker", given) as process:
                await eventually(lambda: is_started(process))
                await redis.execute_command("ACL", "SETUSER", user, "resetpass", ">another")
                await redis.execute_command("CLIENT", "KILL", "USER", user)
                assert not await is_ready(process, "redis")
                assert not await sleep_unless(process.stopping, 0.02 * 5 * REJECTIONS_MAX)
                await redis.execute_command("ACL", "SETUSER", user, f">{PASSWORD}")
                await eventually(lambda: is_ready(process, "redis"))
        finally:
            await redis.execute_command("ACL", "DELUSER", user)


async def test_rejections_are_counted_over_outages_between_them() -> None:
    tries = 0

    async def check() -> None:
        nonlocal tries
        tries += 1
        raise (LoginRefused if tries % 2 else Unavailable)("Postman", "away")

    with pytest.raises(StartError, match="Postman refused the login: there:1: away"):
        await until_answered(SERVER, check, asyncio.Event())
    assert tries == 2 * REJECTIONS_MAX - 1


async def test_a_rejection_other_than_of_the_login_is_reported_as_such() -> None:
    async def check() -> None:
        raise Misconfigured("Postman", "certificate verify failed")

    with pytest.raises(StartError) as raised:
        await until_answered(SERVER, check, asyncio.Event())
    assert raised.value.what == "Postman cannot be used as configured"


async def test_a_stop_ends_the_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_contact, "FIRST_DELAY_SECONDS", 600)
    stop, tried = asyncio.Event(), asyncio.Event()

    async def check() -> None:
        tried.set()
        raise Unavailable("Postman", "away")

    waiting = asyncio.create_task(until_answered(SERVER, check, stop))
    await tried.wait()
    stop.set()
    await asyncio.wait_for(waiting, 5)


def test_the_program_prints_what_to_do_and_exits(environment: dict[str, str], tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, "run", "--role", "relay"],
        env={**os.environ, **environment, "DB_PASSWORD": "wrong"},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )

    assert finished.returncode == 1
    assert line_labels(finished.stderr) == ["error", "why", "fix"]
    assert "DB_PASSWORD" in finished.stderr
    assert finished.stdout.count('"ERROR"') == 1
