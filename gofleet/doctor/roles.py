"""Roles that run already: the fleet that others ask, and an API that somebody named."""

from __future__ import annotations

from typing import Any, cast

import httpx
import msgspec

from gofleet import __version__
from gofleet.adapters.grpc.health import fleet_serves
from gofleet.doctor.findings import API, FLEET, WORKER, Case, CheckResults
from gofleet.doctor.probes import knock
from gofleet.domain.errors import FleetUnavailable

HEALTH_SECONDS = 3.0


async def of_fleet(case: Case, found: CheckResults) -> None:
    """Who plays the fleet role too will start it, so that it may be missing still."""
    if not case.plays(API, WORKER):
        return
    fleet = case.settings.fleet
    where = f"{fleet.host}:{fleet.port}"
    if (why := await knock(fleet.host, fleet.port) or await _why_not(fleet.host, fleet.port)) is None:
        found.ok("serves", where)
    elif case.plays(FLEET):
        found.warning("serves", f"{where}: {why}", "`gofleet run --role fleet` starts one")
    else:
        fix = "`gofleet run --role fleet` starts one; or set FLEET_HOST and GRPC_PORT to where it is"
        found.failed("serves", f"{where}: {why}", fix)


async def _why_not(host: str, port: int) -> str | None:
    """Why a fleet that listens does not serve."""
    try:
        serves = await fleet_serves(host, port, timeout_seconds=HEALTH_SECONDS)
    except FleetUnavailable as error:
        return error.why
    return None if serves else "it says that it does not serve, for it stops"


async def of_api(case: Case, found: CheckResults) -> None:
    if case.url is None:
        return
    health = await health_of(case.url)
    if isinstance(health, str):
        found.failed("reachable", f"{case.url}: {health}", "start the api role there, or correct --url")
        return
    found.ok("reachable", case.url)
    bad = [name for name, check in health.get("checks", {}).items() if not check.get("ok")]
    if health.get("status") == "ready":
        found.ok("ready", f"plays {', '.join(map(str, health.get('roles', [])))}")
    else:
        why = f"{health.get('status')}: {', '.join(bad) or 'no check failed'}"
        found.failed("ready", why, "its operations port tells the reason: /health/ready on METRICS_PORT")
    if health.get("version") == __version__:
        found.ok("version", __version__)
    else:
        seen = f"it is {health.get('version')}, this is {__version__}"
        found.warning("version", seen, "run the same version everywhere")


async def health_of(url: str) -> dict[str, Any] | str:
    """What a role says of itself; or why there is none."""
    try:
        async with httpx.AsyncClient(base_url=url, timeout=HEALTH_SECONDS, trust_env=False) as http:
            answer = await http.get("/health")
        found = msgspec.json.decode(answer.content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or type(error).__name__
    except msgspec.MsgspecError:
        found = None
    if not isinstance(found, dict) or "checks" not in found:
        return "somebody answers, who is no GoFleet"
    return cast("dict[str, Any]", found)
