"""Redis or Valkey: there, ours, recent enough, able to do what we ask of it."""

from __future__ import annotations

from gofleet import parts
from gofleet.adapters.redis.diagnostics import RedisState, redis_state
from gofleet.doctor.findings import FLEET, RELAY, WORKER, Case, CheckResults
from gofleet.doctor.probes import at_least, compare_clocks, knock
from gofleet.domain.errors import LoginRefused, Unavailable

OLDEST = (7, 0)
ANSWER_SECONDS = 2.0
KEEPS_ALL = "noeviction"


async def of_redis(case: Case, found: CheckResults) -> None:
    carries_events = case.settings.general.broker == "redis"
    if not case.plays(WORKER, FLEET) and not (carries_events and case.plays(RELAY)):
        return
    at = case.settings.redis
    where = f"{at.host}:{at.port}"
    if why := await knock(at.host, at.port):
        found.failed("reachable", f"{where}: {why}", "start Redis, or set REDIS_HOST and REDIS_PORT to where it is")
        return
    before = case.clock()
    client = parts.a_redis(case.settings, ANSWER_SECONDS)
    try:
        searches, scripts = case.plays(FLEET), case.plays(WORKER, FLEET)
        state = await redis_state(client, parts.key_prefix(case.settings), searches=searches, scripts=scripts)
    except LoginRefused as error:
        found.failed("login", f"{where}: {error.why}", "check REDIS_USER, REDIS_PASSWORD and REDIS_DB")
        return
    except Unavailable as error:
        found.failed("reachable", f"{where}: {error.why}", "look at its log: it listens and does not answer")
        return
    finally:
        await client.aclose()
    found.ok("reachable", f"{where}, database {at.db}" + (f" as {at.user}" if at.user else ""))
    if state.now:
        compare_clocks(found, before, state.now, case.clock())
    _commands(state, found)
    if state.has_info:
        _version(state, found)
        _memory(state, found, carries_events=carries_events)
    else:
        found.ok("version", "not told to our user, nor eviction and persistence: its default user, for people, may ask")


def _version(state: RedisState, found: CheckResults) -> None:
    seen = f"{state.product}, Redis {state.version}"
    if at_least(state.version, OLDEST):
        found.ok("version", seen)
    else:
        found.failed("version", seen, f"upgrade it to Redis {OLDEST[0]}.{OLDEST[1]} or newer, or to Valkey")
    if not state.writable:
        found.failed("writable", "it is a replica", "set REDIS_HOST to the primary")


def _commands(state: RedisState, found: CheckResults) -> None:
    for command, why in state.refused.items():
        found.failed("commands", f"{command}: {why}", "let our user use it (ACL), or upgrade the server")
    if not state.refused:
        found.ok("commands", "what we call is taken")


def _memory(state: RedisState, found: CheckResults, *, carries_events: bool) -> None:
    """Losing everything costs time and no order; but where the events travel through it, it costs much of it."""
    if state.eviction == KEEPS_ALL:
        found.ok("eviction", state.eviction)
    else:
        found.warning("eviction", f"{state.eviction}: it forgets positions and leases", f"maxmemory-policy {KEEPS_ALL}")
    if state.persistent is not None and carries_events and not state.persistent:
        seen = "it forgets all events when it stops; the sweeper announces their orders again, later"
        found.warning("persistence", seen, "appendonly yes")
    elif state.persistent is not None:
        found.ok("persistence", "it keeps its data" if state.persistent else "it keeps nothing, and need not")
