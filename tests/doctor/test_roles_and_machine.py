"""Roles that do not run, ports that are taken, and settings that do not fit production."""

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


@pytest.fixture
def taken() -> Generator[int]:
    """A port on which another program listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


async def test_a_fleet_that_does_not_run(patient: Installation) -> None:
    patient.environment["GRPC_PORT"] = str(free_ports(1)[0])
    patient.roles = ("api", "worker")

    await patient.expect("fleet", "serves", says="Connection refused", fix="gofleet run --role fleet")


async def test_a_fleet_that_will_be_started_here_may_be_missing_still(patient: Installation) -> None:
    patient.environment["GRPC_PORT"] = str(free_ports(1)[0])

    await patient.expect(
        "fleet", "serves", CheckState.WARNING, says="Connection refused", fix="gofleet run --role fleet"
    )


async def test_somebody_else_where_the_fleet_should_be(patient: Installation) -> None:
    patient.environment["GRPC_PORT"] = patient.url.rpartition(":")[2]
    patient.roles = ("worker",)

    await patient.expect("fleet", "serves", says=patient.environment["GRPC_PORT"], fix="FLEET_HOST")


async def test_an_api_that_is_not_there(patient: Installation) -> None:
    patient.url = "http://127.0.0.1:1"

    await patient.expect("api", "reachable", says="http://127.0.0.1:1", fix="--url")


async def test_somebody_else_where_the_api_should_be(patient: Installation) -> None:
    async def somebody_else(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, "text/html", b"<html>")

    async with serving(somebody_else, "127.0.0.1", 0, grace_seconds=2) as listening:
        patient.url = listening.url
        await patient.expect("api", "reachable", says="not GoFleet", fix="--url")


async def test_an_api_that_is_not_ready(patient: Installation) -> None:
    async def away() -> None:
        raise OSError("away")

    api = replace(World().api(), operations=HealthApp({"postgres": away}, ["api"]))
    async with serving(api_app(api), "127.0.0.1", 0, grace_seconds=2) as listening:
        patient.url = listening.url
        await patient.expect("api", "ready", says="postgres", fix="/health/ready")


@pytest.mark.parametrize("setting", ["WEB_SERVER_PORT", "METRICS_PORT"])
async def test_a_port_that_another_program_has(patient: Installation, setting: str, taken: int) -> None:
    patient.environment[setting] = str(taken)

    await patient.expect("this machine", setting, says="in use by another program", fix=setting)


async def test_a_port_that_we_have_already(patient: Installation) -> None:
    patient.environment["WEB_SERVER_PORT"] = patient.url.rpartition(":")[2]

    found = results_of(await patient.diagnose(), "this machine")["WEB_SERVER_PORT"]

    assert (found.state, "gofleet api already listens on it" in found.seen) == (CheckState.OK, True)


async def test_an_address_that_is_not_ours(patient: Installation) -> None:
    patient.environment["WEB_SERVER_HOST"] = "192.0.2.1"

    await patient.expect("this machine", "WEB_SERVER_PORT", says="EADDRNOTAVAIL", fix="address of this machine")


async def test_failpoints(patient: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    patient.environment["GOFLEET_FAILPOINTS"] = "worker.after_lease=kill"

    await patient.expect("settings", "failpoints", CheckState.WARNING, says="worker.after_lease=kill", fix="unset")
    patient.environment |= {"GOFLEET_ENV": "production", "AUTH_ISSUER": "https://login.example.com"}
    monkeypatch.setattr(safe, "KNOWN_PASSWORDS", set[str]())
    await patient.expect("settings", "failpoints", says="in production", fix="unset")
    patient.environment["GOFLEET_FAILPOINTS"] = "nonsense"
    await patient.expect("settings", "failpoints", says="nonsense", fix="leave it empty")


async def test_what_keeps_a_role_from_starting_in_production(
    patient: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient.environment |= {"GOFLEET_ENV": "production", "AUTH_ISSUER": "https://login.example.com"}
    patient.roles = ("api",)
    monkeypatch.setattr(safe, "KNOWN_PASSWORDS", {patient.environment["DB_PASSWORD"]})
    await patient.expect("settings", "safety", says="DB_PASSWORD", fix="choose one of your own")
    monkeypatch.setattr(safe, "KNOWN_PASSWORDS", set[str]())
    del patient.environment["AUTH_ISSUER"]
    await patient.expect("settings", "safety", says="AUTH_ISSUER is missing", fix="AUTH=off")
    patient.environment["AUTH"] = "off"
    await patient.expect("settings", "AUTH", CheckState.WARNING, says="every client", fix="AUTH_ISSUER")
