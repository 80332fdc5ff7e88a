"""How many positions of drivers are taken in, by each of the three ways, beside what Redis itself takes."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import redis

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.domain.driver import Position
from gofleet.domain.place import Place
from gofleet.embedded import ValkeyAddress
from tests.bench.calls import DRIVER_DIGITS, DRIVER_PREFIX, Calls, driver, somewhere
from tests.bench.connections import HOST
from tests.bench.figures import Aim, Figure
from tests.bench.load import Load, in_own_process, request, send
from tests.bench.queues import forget
from tests.bench.servers import Bench, Measured

CASE = "positions"
DRIVERS = 10_000
IN_ONE_REQUEST = 500
PIPELINED = 1000
PATIENCE_SECONDS = 30.0
RATE_MIN = 20_000.0
WAYS = {"unary": "UpdatePosition, 8 at once", "stream": "StreamPositions, 2 streams of batches of 1,000"}
BATCHES = f"POST /drivers/positions, 4 at once with {IN_ONE_REQUEST} each"
CEILING = "bare GEOADD and HSET in pipelines"


async def measure(at: Bench) -> list[Figure]:
    seconds = 0.5 if at.smoke else 4.0
    rates: dict[str, list[float]] = {name: [] for name in (*WAYS.values(), BATCHES, CEILING)}
    with at.servers.installation(CASE) as measured:
        measured.register(DRIVER_PREFIX, DRIVERS, DRIVER_DIGITS)
        measured.installation.start("fleet", "api")
        await _register_in_redis(measured)
        await _once(at, measured, BATCHES, 0.5)
        for number, variant in at.turns(len(rates)):
            name = list(rates)[variant]
            rates[name].append(await _once(at, measured, name, seconds))
            at.say(f"{CASE} {number + 1}: {name} {rates[name][-1]:.0f}/s")
        measured.installation.stop()
        await forget(at.servers, measured)
    aims = {WAYS["stream"]: Aim(f"at least {RATE_MIN:,.0f} a second", least=RATE_MIN)}
    return [
        Figure(CASE, name, "positions/s", tuple(found), None if name == CEILING else CEILING, aim=aims.get(name))
        for name, found in rates.items()
    ]


async def _register_in_redis(measured: Measured) -> None:
    """Send a first position of each driver, which looks its record up."""
    chance, now = random.Random(1), datetime.now(UTC)  # noqa: S311
    fixes = [Position(driver(number), Place(*somewhere(chance)), now) for number in range(DRIVERS)]
    port = int(measured.installation.environment["GRPC_PORT"])
    async with GrpcFleet(HOST, port, timeout_seconds=PATIENCE_SECONDS) as fleet:
        for first in range(0, DRIVERS, PIPELINED):
            result = await fleet.update_positions(fixes[first : first + PIPELINED])
            if result.refused:
                raise AssertionError(f"{result.refused} positions were refused")


async def _once(at: Bench, measured: Measured, name: str, seconds: float) -> float:
    environment = measured.installation.environment
    fleet_port = int(environment["GRPC_PORT"])
    if name == WAYS["unary"]:
        return (await in_own_process(Calls("move", fleet_port, seconds, at_once=8, drivers=DRIVERS))).rate
    if name == WAYS["stream"]:
        return (await in_own_process(Calls("stream", fleet_port, seconds, at_once=2, drivers=DRIVERS))).rate
    if name == BATCHES:
        outcome = await send(Load(Batches(DRIVERS), (int(environment["WEB_SERVER_PORT"]),), 4, seconds))
        if set(outcome.counts) != {200}:
            raise AssertionError(f"batches were answered {outcome.counts}")
        return outcome.rate * IN_ONE_REQUEST
    address = at.servers.valkey.address
    return await in_own_process(ByRedis(address, seconds))


@dataclass(frozen=True)
class Batches:
    """Requests with the positions of one part of the drivers after the other."""

    drivers: int

    def __call__(self, number: int) -> bytes:
        return _batch(number % (self.drivers // IN_ONE_REQUEST))


@cache
def _batch(number: int) -> bytes:
    chance, positions = random.Random(number), list[dict[str, object]]()  # noqa: S311
    for each in range(number * IN_ONE_REQUEST, (number + 1) * IN_ONE_REQUEST):
        lat, lng = somewhere(chance)
        positions.append({"driver_id": driver(each), "lat": round(lat, 6), "lng": round(lng, 6)})
    return request("POST", "/api/v1/drivers/positions", json.dumps({"positions": positions}))


@dataclass(frozen=True)
class ByRedis:
    """The least that keeping a position takes: its place in one index and its fields. Positions a second."""

    at: ValkeyAddress
    seconds: float

    def __call__(self) -> float:
        chance, done = random.Random(1), 0  # noqa: S311
        at = self.at
        client: Any = redis.Redis(
            host=at.host, port=at.port, password=at.password
        )  # its commands are typed for a later answer too
        with client:
            began = time.perf_counter()
            while (spent := time.perf_counter() - began) < self.seconds:
                with client.pipeline(transaction=False) as pipe:
                    for _ in range(PIPELINED):
                        lat, lng = somewhere(chance)
                        id = driver(chance.randrange(DRIVERS))
                        pipe.execute_command("GEOADD", "bare:drivers", lng, lat, id)
                        pipe.execute_command("HSET", f"bare:{id}", "lat", lat, "lng", lng, "recorded_at", done)
                    pipe.execute()
                done += PIPELINED
            client.delete("bare:drivers", *(f"bare:{driver(number)}" for number in range(DRIVERS)))
            return done / spent
