"""Diagnosis of stopped roles, used ports and settings unfit for production."""

from __future__ import annotations

import socket
from collections.abc import Generator
from dataclasses import replace

import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.asgi import Receive, Scope, Send, respond
from gofleet.adapters.http.health import HealthApp
from gofleet.adapters.http.server import serving
from gofleet.doctor import CheckState
from gofleet.embedded.resources import free_ports
from gofleet.settings import checks as safe
from tests.doctor.conftest import Installation, results_of
from tests.roles.conftest import World

PRODUCTION = {"GOFLEET_ENV": "production", "AUTH_ISSUER": "https://login.example.com", "GRPC_TLS": "off"}


@pytest.fixture
def taken() -> Generator[int]:
    """A port on which another program listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


async def test_a_stopped_fleet(installation: Installation) -> None:
    installation.environment["GRPC_PORT"] = str(free_ports(1)[0])
    installation.roles = ("api", "worker")

    await installation.expect("fleet", "serves", says="Connection refused", fix="gofleet run --role fleet")


async def test_a_fleet_that_is_to_start_here_may_be_missing(installation: Installation) -> None:
    installation.environment["GRPC_PORT"] = str(free_ports(1)[0])

    await installation.expect(
        "fleet", "serves", CheckState.WARNING, says="Connection refused", fix="gofleet run --role fleet"
    )


async def test_another_program_on_the_fleets_port(installation: Installation) -> None:
    installation.environment["GRPC_PORT"] = installation.url.rpartition(":")[2]
    installation.roles = ("worker",)

    await installation.expect("fleet", "serves", says=installation.environment["GRPC_PORT"], fix="FLEET_HOST")


async def test_a_stopped_api(installation: Installation) -> None:
    installation.url = "http://127.0.0.1:1"

    await installation.expect("api", "reachable", says="http://127.0.0.1:1", fix="--url")


async def test_another_program_on_the_apis_port(installation: Installation) -> None:
    async def other_server(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, "text/html", b"<html>")

    async with serving(other_server, "127.0.0.1", 0, grace_seconds=2) as listening:
        installation.url = listening.url
        await installation.expect("api", "reachable", says="not GoFleet", fix="--url")


async def test_an_api_that_is_not_ready(installation: Installation) -> None:
    async def not_ready() -> None:
        raise OSError("away")

    api = replace(World().api(), operations=HealthApp({"postgres": not_ready}, ["api"]))
    async with serving(api_app(api), "127.0.0.1", 0, grace_seconds=2) as listening:
        installation.url = listening.url
        await installation.expect("api", "ready", says="postgres", fix="/health/ready")


@pytest.mark.parametrize("setting", ["WEB_SERVER_PORT", "METRICS_PORT"])
async def test_a_port_used_by_another_program(installation: Installation, setting: str, taken: int) -> None:
    installation.environment[setting] = str(taken)

    await installation.expect("this machine", setting, says="in use by another program", fix=setting)


async def test_a_port_used_by_a_role(installation: Installation) -> None:
    installation.environment["WEB_SERVER_PORT"] = installation.url.rpartition(":")[2]

    found = results_of(await installation.diagnose(), "this machine")["WEB_SERVER_PORT"]

    assert (found.state, "gofleet api already listens on it" in found.seen) == (CheckState.OK, True)


async def test_an_address_of_another_machine(installation: Installation) -> None:
    installation.environment["WEB_SERVER_HOST"] = "192.0.2.1"

    await installation.expect(
        "this machine", "WEB_SERVER_PORT", says="Cannot assign requested address", fix="address of this machine"
    )


async def test_failpoints(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    installation.environment["GOFLEET_FAILPOINTS"] = "worker.after_lease=kill"

    await installation.expect("settings", "failpoints", CheckState.WARNING, says="worker.after_lease=kill", fix="unset")
    installation.environment |= PRODUCTION
    monkeypatch.setattr(safe, "KNOWN_PASSWORDS", set[str]())
    await installation.expect("settings", "failpoints", says="in production", fix="unset")
    installation.environment["GOFLEET_FAILPOINTS"] = "nonsense"
    await installation.expect("settings", "failpoints", says="nonsense", fix="leave it empty")


async def test_guessable_passwords_outside_production(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe, "KNOWN_PASSWORDS", {installation.environment["DB_PASSWORD"].casefold()})

    await installation.expect(
        "settings", "DB_PASSWORD", CheckState.WARNING, says="commonly guessed", fix="choose one of your own"
    )


async def test_settings_that_prevent_a_start_in_production(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.environment |= PRODUCTION
    installation.roles = ("api",)
    monkeypatch.setattr(safe, "KNOWN_PASSWORDS", {installation.environment["DB_PASSWORD"].casefold()})
    await installation.expect("settings", "safety", says="DB_PASSWORD", fix="choose one of your own")
    monkeypatch.setattr(safe, "KNOWN_PASSWORDS", set[str]())
    del installation.environment["AUTH_ISSUER"]
    await installation.expect("settings", "safety", says="AUTH_ISSUER is missing", fix="AUTH=off")
    installation.environment["AUTH"] = "off"
    await installation.expect("settings", "AUTH", CheckState.WARNING, says="every client", fix="AUTH_ISSUER")
