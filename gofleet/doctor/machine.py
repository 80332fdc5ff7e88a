"""This machine: the ports that the roles would listen on, and settings that do not fit production."""

from __future__ import annotations

import errno
import socket

from gofleet import failpoints
from gofleet.adapters.grpc.health import fleet_serves
from gofleet.doctor.findings import API, FLEET, Case, CheckResults
from gofleet.doctor.roles import HEALTH_SECONDS, health_of
from gofleet.domain.errors import FleetUnavailable
from gofleet.settings import unsafe

LOOPBACK = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104  who listens everywhere is asked here


async def of_ports(case: Case, found: CheckResults) -> None:
    settings = case.settings
    if case.plays(API):
        await _port(found, "WEB_SERVER_PORT", settings.web.host, settings.web.port)
    if case.plays(FLEET):
        await _port(found, "GRPC_PORT", settings.fleet.listen_host, settings.fleet.port)
    at, given = settings.telemetry, settings.given("METRICS_PORT")
    await _port(found, "METRICS_PORT", at.metrics_host, at.metrics_port, others_serve=not given)


async def of_settings(case: Case, found: CheckResults) -> None:
    general, sources = case.settings.general, case.settings.sources
    production = general.environment == "production"
    found.ok("environment", general.environment)
    if general.failpoints:
        _failpoints(general.failpoints, found, production=production)
    for wrong in unsafe(case.settings, case.roles):
        found.failed("safety", f"{wrong.what}: {wrong.why}", f"{wrong.fix}: no such role starts")
    if production and case.plays(API) and case.settings.auth.mode == "off":
        fix = "set AUTH=oidc and AUTH_ISSUER before others than you can reach it"
        found.warning("AUTH", f"off ({sources['AUTH']}): anybody who reaches the API may do anything", fix)


def _failpoints(spec: str, found: CheckResults, *, production: bool) -> None:
    try:
        failpoints.parsed(spec)
    except failpoints.WrongFailpoint as error:
        found.failed("failpoints", str(error), "correct GOFLEET_FAILPOINTS, or leave it empty")
        return
    if production:
        found.failed("failpoints", f"{spec} in production", "unset GOFLEET_FAILPOINTS: no role starts with it")
    else:
        found.warning("failpoints", f"{spec}: roles die on purpose", "unset GOFLEET_FAILPOINTS when you have seen it")


async def _port(found: CheckResults, setting: str, host: str, port: int, *, others_serve: bool = False) -> None:
    """Whether we could listen there, or one of us does already."""
    where = f"{host}:{port}"
    if (why := _taken(host, port)) is None:
        found.ok(setting, f"{where} is free")
    elif why != errno.EADDRINUSE:
        fix = f"set {setting} to a port above 1023, and its host to an address of this machine"
        found.failed(setting, f"{where}: {errno.errorcode.get(why, why)}", fix)
    elif who := await _of_ours(LOOPBACK.get(host, host), port):
        found.ok(setting, f"{where}: {who} runs there already")
    elif others_serve:
        found.ok(setting, f"{where} is taken; the next free port serves")
    else:
        fix = f"stop it, or set {setting} to another port"
        found.failed(setting, f"{where} is taken by another program", fix)


def _taken(host: str, port: int) -> int | None:
    """None if we could listen there now, else the errno."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno or errno.EINVAL
    return None


async def _of_ours(host: str, port: int) -> str | None:
    """What a GoFleet that listens there says of itself."""
    health = await health_of(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    if not isinstance(health, str):
        return f"gofleet {', '.join(map(str, health.get('roles', [])))}"
    try:
        return "a fleet" if await fleet_serves(host, port, timeout_seconds=HEALTH_SECONDS) else None
    except FleetUnavailable:
        return None
