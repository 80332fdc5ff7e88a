"""All four roles at work in a town: drivers on the map, what became of the orders, and whether all of it is right."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.domain.driver import Position
from gofleet.domain.place import Place
from tests.bench.accounting import Reading, read, resident_mb, switches
from tests.bench.figures import percentile
from tests.bench.queues import forget
from tests.bench.servers import Bench, Measured
from tests.bench.town import Done, Plan, anywhere, live
from tests.waiting import eventually

ROLES = ("fleet", "relay", "worker", "api")
BENCH = "bench"
"""The measuring processes: the load generator, the receiver of traces, the source of positions."""
POSITIONS_SECONDS = 20.0
"""Drivers report their positions within a minute, else they would get no orders."""
AT_ONCE = 1000
PATIENCE_SECONDS = 30.0
PUBLISHED_SECONDS = 30.0
EVENTS_OF_A_LIFE = 3
"""Created, dispatched, delivered."""


@dataclass(frozen=True)
class Spell:
    """A while of a town's life. `waited`: milliseconds from when each order was due to the commit that dispatched it;
    `rate`: orders dispatched a second while orders came in; `cpu`: milliseconds an order by role and by service."""

    done: Done
    waited: list[float]
    rate: float
    cpu: Mapping[str, float]

    def milliseconds(self, percent: float) -> float:
        return percentile(self.waited, percent)


@dataclass(frozen=True)
class Fleet:
    """An installation with all roles and `drivers` on duty."""

    bench: Bench
    measured: Measured
    port: int

    async def spell(self, plan: Plan) -> Spell:
        before = self.read()
        done = await live(plan)
        cpu = self.read().since(before)
        found = self._dispatched_at(done)
        waited = [(found[order_id] - due) * 1000 for order_id, due in done.due.items()]
        rate = sum(at < done.ended for at in found.values()) / (done.ended - done.began)
        return Spell(done, waited, rate, {name: ms / len(done.due) for name, ms in cpu.items()})

    def plan(self, seconds: float, under_way: int, rate: float | None = None, *, patient: bool = False) -> Plan:
        return Plan((self.port,), self.measured.conninfo, seconds, under_way, rate, patient=patient)

    def resident_mb(self) -> dict[str, float]:
        return {name: resident_mb(pids) for name, pids in self._roles().items()}

    async def published(self) -> None:
        """AssertionError unless every event of every order was published, within a while."""
        query = "select count(*) from outbox where published_at is null"
        await eventually(lambda: self.measured.count(query) == 0, within=PUBLISHED_SECONDS, every=0.05)
        orders, events = (self.measured.count(f"select count(*) from {table}") for table in ("orders", "outbox"))
        commands = self.measured.count("select count(*) from outbox where kind = 'command'")
        if events - commands != EVENTS_OF_A_LIFE * orders:
            raise AssertionError(f"{events} events and {commands} commands of {orders} orders")

    async def verified(self) -> None:
        """AssertionError unless every invariant holds, once the fleet has heard of the last delivery."""
        await eventually(self._holds, within=PATIENCE_SECONDS, every=0.5)

    def _holds(self) -> bool:
        environment = {**os.environ, **self.measured.installation.environment}
        command = [sys.executable, "-m", "gofleet", "verify", "--json"]
        ended = subprocess.run(command, env=environment, capture_output=True, check=False, text=True)
        if ended.returncode:
            self.bench.say(f"verify: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
        return ended.returncode == 0

    def _dispatched_at(self, done: Done) -> dict[str, float]:
        """By order, seconds since 1970: when the commit that gave it its first driver was made."""
        query = (
            "select distinct on (order_id) order_id, extract(epoch from pg_xact_commit_timestamp(txid::xid))::float8"
            " from order_log where became = 'DISPATCHED' and at >= to_timestamp(%s) order by order_id, txid"
        )
        with psycopg.connect(self.measured.conninfo) as connection:
            found = dict(connection.execute(query, [done.began - 1]).fetchall())
        return {order_id: at for order_id, at in found.items() if order_id in done.due}

    def read(self) -> Reading:
        return read({**self._trees(), BENCH: [os.getpid()]})

    def switches(self) -> dict[str, float]:
        return switches(self._trees())

    def _trees(self) -> dict[str, list[int]]:
        """By role and service."""
        return {**self._roles(), **self.bench.servers.pids()}

    def _roles(self) -> dict[str, list[int]]:
        roles: dict[str, list[int]] = {}
        for process in self.measured.installation.processes:
            roles.setdefault(process.name.partition("-")[0], []).append(process.popen.pid)
        return roles


@asynccontextmanager
async def a_fleet(at: Bench, case: str, drivers: int) -> AsyncGenerator[Fleet]:
    """An installation of its own with all roles started and every driver on the map."""
    with at.servers.installation(case) as measured:
        async with at_work(at, measured, drivers) as fleet:
            yield fleet


@asynccontextmanager
async def at_work(at: Bench, measured: Measured, drivers: int) -> AsyncGenerator[Fleet]:
    """All roles started for the block, drivers heard of again and again; all stopped after it, the queues gone."""
    measured.register("driver-", drivers, 6)
    measured.installation.start(*ROLES)
    environment = measured.installation.environment
    port = int(environment["GRPC_PORT"])
    async with GrpcFleet("127.0.0.1", port, timeout_seconds=PATIENCE_SECONDS) as client:
        chance = random.Random(1)  # noqa: S311
        places = {f"driver-{number:06}": Place(*anywhere(chance)) for number in range(drivers)}
        await _tell(client, places)
        telling = asyncio.create_task(_keep_telling(client, places))
        try:
            yield Fleet(at, measured, int(environment["WEB_SERVER_PORT"]))
        finally:
            telling.cancel()
            await asyncio.wait({telling})
            measured.installation.stop()
            await forget(at.servers, measured)


async def _keep_telling(client: GrpcFleet, places: Mapping[str, Place]) -> None:
    while True:
        await asyncio.sleep(POSITIONS_SECONDS)
        await _tell(client, places)


async def _tell(client: GrpcFleet, places: Mapping[str, Place]) -> None:
    now, items = datetime.now(UTC), list(places.items())
    for first in range(0, len(items), AT_ONCE):
        await client.update_positions([Position(id, place, now) for id, place in items[first : first + AT_ONCE]])
