"""How long a search for a driver takes in fleets of three sizes, each in the same city."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import redis

from gofleet.listening import free_port
from tests.bench.calls import (
    DRIVER_DIGITS,
    DRIVER_PREFIX,
    PICKUP_DEGREES,
    SEARCHED_DEGREES,
    CallResult,
    Calls,
    an_empty_service,
    somewhere,
)
from tests.bench.connections import HOST
from tests.bench.figures import Aim, Figure, ratio
from tests.bench.load import CENTRE, in_own_process
from tests.bench.queues import forget
from tests.bench.servers import Bench, Measured
from tests.journeys.installation import RoleProcess
from tests.waiting import eventually

CASE = "search"
REACHES = {1_000: 5000, 100_000: 625, 1_000_000: 625}
"""Drivers, and within how many metres of a pickup a search has met enough of them."""
SMOKE_RATES = {1_000: 5000, 2_000: 5000, 4_000: 5000}
SETTINGS = {"CLAIM_SECONDS": "0.2", "POSITION_STALE_SECONDS": "3600"}
"""So that a thousand searches a second do not run out of drivers, whose positions need no refresh."""
COUNT = 18
"""Drivers that a search for five asks Redis for."""
FILLED_AT_ONCE = 10_000
# As register.lua and move.lua leave them.
FILL = """
math.randomseed(tonumber(ARGV[2]))
local prefix, lat, lng, degrees, now = ARGV[1], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
for n = tonumber(ARGV[2]), tonumber(ARGV[3]) - 1 do
    local id = string.format('driver-%07d', n)
    local at_lat = string.format('%.6f', lat + (2 * math.random() - 1) * degrees)
    local at_lng = string.format('%.6f', lng + (2 * math.random() - 1) * degrees)
    redis.call('HSET', prefix .. 'driver:' .. id, 'name', id, 'on_duty', '1', 'version', '1', 'lat', at_lat,
               'lng', at_lng, 'recorded_at', now)
    redis.call('GEOADD', prefix .. 'drivers:free', at_lng, at_lat, id)
    redis.call('GEOADD', prefix .. 'drivers:seen', at_lng, at_lat, id)
    redis.call('ZADD', prefix .. 'drivers:heard', now, id)
end
"""
EMPTY = "empty unary call"


@dataclass
class _Fleet:
    size: int
    reach: int
    measured: Measured
    process: RoleProcess
    found: list[CallResult] = field(default_factory=list[CallResult])
    bare: list[float] = field(default_factory=list[float])

    @property
    def port(self) -> int:
        return int(self.measured.installation.environment["GRPC_PORT"])


async def measure(at: Bench) -> list[Figure]:
    seconds = 0.5 if at.smoke else 3.0
    address = at.servers.valkey.address
    empty: list[CallResult] = []
    # Its commands are typed for a later answer too.
    client: Any = redis.Redis(host=address.host, port=address.port, password=address.password)
    with ExitStack() as stack, client:
        fleets: list[_Fleet] = []
        for size, reach in (SMOKE_RATES if at.smoke else REACHES).items():
            # Before any of them listens, so each looks in a range of its own.
            port, metrics_port = (str(free_port(HOST, first + 20 * len(fleets))) for first in (18_320, 18_720))
            measured = stack.enter_context(at.servers.installation(CASE, **SETTINGS, GRPC_PORT=port))
            started = measured.installation.launch("fleet", METRICS_PORT=metrics_port)
            fleets.append(_Fleet(size, reach, measured, started))
            measured.register(DRIVER_PREFIX, size, DRIVER_DIGITS)
            _fill(client, _prefix(measured), size)
        await eventually(lambda: all(fleet.process.ready() for fleet in fleets), within=60, every=0.1)
        await eventually(lambda: not _is_writing(client), within=120, every=0.5)
        async with an_empty_service() as service:
            for fleet in fleets:  # the first requests are slower
                await in_own_process(Calls("search", fleet.port, seconds / 3))
            for number, variant in at.turns(len(fleets) + 1):
                if variant == len(fleets):
                    empty.append(await in_own_process(Calls("search", service.port, seconds)))
                    continue
                fleet = fleets[variant]
                fleet.found.append(await in_own_process(Calls("search", fleet.port, seconds)))
                fleet.bare.append(_geosearch(client, fleet, seconds / 2))
                at.say(f"{CASE} {number + 1}: {fleet.size:,} drivers p99 {fleet.found[-1].milliseconds(99):.1f} ms")
        for fleet in fleets:
            fleet.measured.installation.stop()
            await forget(at.servers, fleet.measured)
        client.flushall()
    return _figures(fleets, empty)


def _prefix(measured: Measured) -> str:
    return f"{measured.installation.environment['NAME_PREFIX']}gofleet:"


def _fill(client: Any, prefix: str, size: int) -> None:
    fill = client.register_script(FILL)
    for first in range(0, size, FILLED_AT_ONCE):
        last = min(first + FILLED_AT_ONCE, size)
        fill([], [prefix, first, last, *CENTRE, SEARCHED_DEGREES, time.time_ns() // 1_000_000])


def _is_writing(client: Any) -> bool:
    """Whether it is busy with a new copy of its file."""
    persistence = client.info("persistence")
    return bool(persistence["aof_rewrite_in_progress"] or persistence["aof_rewrite_scheduled"])


def _geosearch(client: Any, fleet: _Fleet, seconds: float) -> float:
    """Searches a second, as many of them in a pipeline as a search has callers."""
    chance, done = random.Random(1), 0  # noqa: S311
    began = time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        with client.pipeline(transaction=False) as pipe:
            for _ in range(Calls.at_once):
                lat, lng = somewhere(chance, PICKUP_DEGREES)
                where = ("FROMLONLAT", lng, lat, "BYRADIUS", fleet.reach, "m", "ASC", "COUNT", COUNT, "WITHDIST")
                pipe.execute_command("GEOSEARCH", f"{_prefix(fleet.measured)}drivers:free", *where)
            done += len(pipe.execute())
    return done / spent


def _figures(fleets: list[_Fleet], empty: list[CallResult]) -> list[Figure]:
    figures = [Figure(CASE, EMPTY, "calls/s", tuple(each.rate for each in empty))]
    figures += [_took("empty unary call", empty, percent) for percent in (50, 99)]
    for fleet in fleets:
        drivers = f"{fleet.size:,} drivers"
        bare = Figure(CASE, f"bare GEOSEARCH in pipelines, {drivers}", "searches/s", tuple(fleet.bare))
        rates = tuple(each.rate for each in fleet.found)
        figures += [Figure(CASE, f"SearchDriver, {drivers}", "calls/s", rates, ceiling=EMPTY), bare]
        figures += [_took(f"SearchDriver, {drivers}", fleet.found, percent, EMPTY) for percent in (50, 99)]
    few, many, most = (_took("", fleet.found, 99) for fleet in fleets)
    aim = Aim("at most twice that of 1,000 drivers", most=2)
    return [
        *figures,
        ratio(many, few, f"p99 of {fleets[1].size:,} drivers, of {fleets[0].size:,}", aim),
        ratio(most, few, f"p99 of {fleets[2].size:,} drivers, of {fleets[0].size:,}"),
    ]


def _took(name: str, found: list[CallResult], percent: int, ceiling: str | None = None) -> Figure:
    ceiling = ceiling and f"{ceiling} p{percent}"
    values = tuple(each.milliseconds(percent) for each in found)
    return Figure(CASE, f"{name} p{percent}", "ms", values, ceiling, better="lower")
