"""Checks of the roles: settings, local ports, the fleet service, and an API given by its URL."""

from __future__ import annotations

import asyncio
import errno
from typing import Any, cast

import httpx
import msgspec

from gofleet import __version__, failpoints
from gofleet.adapters.grpc.connection import fleet_serves
from gofleet.doctor.results import API, FLEET, WORKER, CheckResults, DoctorOptions, probe_tcp
from gofleet.domain.errors import FleetUnavailable
from gofleet.listening import Listener, bind_error, listeners
from gofleet.settings import unsafe, unsafe_passwords

HEALTH_TIMEOUT_SECONDS = 3.0
LOOPBACK = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104  address to probe a wildcard listener
FLEET_START = "`gofleet run --role fleet` starts one"


async def check_settings(options: DoctorOptions, results: CheckResults) -> None:
    general, sources = options.settings.general, options.settings.sources
    production = general.environment == "production"
    results.ok("environment", general.environment)
    if general.failpoints:
        _check_failpoints(general.failpoints, results, production=production)
    for error in unsafe(options.settings, options.roles):
        results.failed("safety", f"{error.what}: {error.why}", f"{error.fix}; the role does not start otherwise")
    for name, why in () if production else unsafe_passwords(options.settings, options.roles):
        results.warning(name, why, "choose one of your own before other machines can reach that server")
    if production and options.has_role(API) and options.settings.auth.mode == "off":
        fix = "set AUTH=oidc and AUTH_ISSUER before other machines can reach it"
        seen = f"off ({sources['AUTH']}): every client that reaches the API has all permissions"
        results.warning("AUTH", seen, fix)


def _check_failpoints(spec: str, results: CheckResults, *, production: bool) -> None:
    try:
        failpoints.parsed(spec)
    except failpoints.WrongFailpoint as error:
        results.failed("failpoints", str(error), "correct GOFLEET_FAILPOINTS, or leave it empty")
        return
    if production:
        results.failed("failpoints", f"{spec} in production", "unset GOFLEET_FAILPOINTS: no role starts with it")
    else:
        seen = f"{spec}: roles fail deliberately"
        results.warning("failpoints", seen, "unset GOFLEET_FAILPOINTS after the experiment")


async def check_ports(options: DoctorOptions, results: CheckResults) -> None:
    for listener in listeners(options.settings, options.roles):
        await _check_port(results, listener)


async def _check_port(results: CheckResults, listener: Listener) -> None:
    """Whether the port is free, or a GoFleet process already listens on it."""
    host_setting, setting, host, port, next_port_serves = listener
    address = f"{host}:{port}"
    if (error := bind_error(host, port)) is None:
        results.ok(setting, f"{address} is free")
    elif error.errno != errno.EADDRINUSE:
        fix = f"set {setting} to a port above 1023, and {host_setting} to an address of this machine"
        results.failed(setting, f"{address}: {error.strerror or error}", fix)
    elif process := await _gofleet_at(LOOPBACK.get(host, host), port):
        results.ok(setting, f"{address}: {process} already listens on it")
    elif next_port_serves:
        results.ok(setting, f"{address} is in use; the next free port is used")
    else:
        fix = f"stop it, or set {setting} to another port"
        results.failed(setting, f"{address} is in use by another program", fix)


async def _gofleet_at(host: str, port: int) -> str | None:
    """Description of the GoFleet process that listens on the port; None if it is another program."""
    health = await fetch_health(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    if not isinstance(health, str):
        return f"gofleet {', '.join(map(str, health.get('roles', [])))}"
    try:
        return "a fleet" if await fleet_serves(host, port, timeout_seconds=HEALTH_TIMEOUT_SECONDS) else None
    except FleetUnavailable:
        return None


async def check_fleet(options: DoctorOptions, results: CheckResults) -> None:
    """Only a warning if the selected roles include the fleet, because its process will start one."""
    if not options.has_role(API, WORKER):
        return
    fleet = options.settings.fleet
    address = f"{fleet.host}:{fleet.port}"
    if (why := await probe_tcp(fleet.host, fleet.port) or await _not_serving(fleet.host, fleet.port)) is None:
        results.ok("serves", address)
    elif options.has_role(FLEET):
        results.warning("serves", f"{address}: {why}", FLEET_START)
    else:
        results.failed("serves", f"{address}: {why}", f"{FLEET_START}; or set FLEET_HOST and GRPC_PORT to its address")


async def _not_serving(host: str, port: int) -> str | None:
    """Reason why a fleet that accepts connections does not serve; None if it serves."""
    try:
        serves = await fleet_serves(host, port, timeout_seconds=HEALTH_TIMEOUT_SECONDS)
    except FleetUnavailable as error:
        return error.why
    return None if serves else "it reports NOT_SERVING, because it is stopping"


async def check_api(options: DoctorOptions, results: CheckResults) -> None:
    if options.url is None:
        return
    health = await fetch_health(options.url)
    if isinstance(health, str):
        results.failed("reachable", f"{options.url}: {health}", "start the api role there, or correct --url")
        return
    results.ok("reachable", options.url)
    failed = [name for name, check in health.get("checks", {}).items() if not check.get("ok")]
    if health.get("status") == "ready":
        results.ok("ready", f"runs {', '.join(map(str, health.get('roles', [])))}")
    else:
        why = f"{health.get('status')}: {', '.join(failed) or 'no check failed'}"
        results.failed("ready", why, "its operations port reports the reason: /health/ready on METRICS_PORT")
    if health.get("version") == __version__:
        results.ok("version", __version__)
    else:
        seen = f"it runs {health.get('version')}, this is {__version__}"
        results.warning("version", seen, "run the same version everywhere")


async def fetch_health(url: str) -> dict[str, Any] | str:
    """Health document of a GoFleet process, or the reason why there is none."""
    try:
        async with (
            httpx.AsyncClient(base_url=url, timeout=HEALTH_TIMEOUT_SECONDS, trust_env=False) as http,
            asyncio.timeout(HEALTH_TIMEOUT_SECONDS),
        ):
            response = await http.get("/health")
        document = msgspec.json.decode(response.content)
    except TimeoutError:
        return f"no answer within {HEALTH_TIMEOUT_SECONDS:g} s"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or type(error).__name__
    except msgspec.MsgspecError:
        document = None
    if not isinstance(document, dict) or "checks" not in document:
        return "another program answers, not GoFleet"
    return cast("dict[str, Any]", document)
