"""Every failpoint with every action, in separate processes: each is reached, and no order is lost."""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
import pytest

from gofleet.domain.place import Place
from gofleet.failpoints import POINTS
from tests.journeys.installation import Installation, RoleProcess, Town
from tests.journeys.truth import read_state, settled
from tests.makers import CENTRE
from tests.waiting import eventually

ROLES = ("fleet", "relay", "worker", "api")
ELSEWHERE = {"sweeper": "relay"}
"""The role that passes the failpoints of a prefix that is not a role."""
NOWHERE = Place(CENTRE.lat + 5, CENTRE.lng)
"""A pickup without drivers: its orders are retried, re-published and escalated to manual dispatch."""
SHARED = ("relay", "worker")
"""Roles of which several processes can run; the others listen on a port."""
DEATH_SECONDS = 240.0
QUICK = {
    "ANNOUNCE_AGAIN_SECONDS": "1",
    "SWEEP_SECONDS": "0.3",
    "DISPATCH_PATIENCE_SECONDS": "6",
    "T_MAX_SECONDS": "15",
    "RETRY_TIERS_SECONDS": "1",
    "WORKER_LEASE_SECONDS": "2",
    "WORKER_DEADLINE_SECONDS": "1.5",
    "BREAKER_MIN_CALLS": "1000",
    "POSITION_STALE_SECONDS": "600",
}


def points_of(role: str) -> list[str]:
    prefixes = {role, *(prefix for prefix, owner in ELSEWHERE.items() if owner == role)}
    return [point for point in POINTS if point.partition(".")[0] in prefixes]


def reached(processes: list[RoleProcess]) -> set[tuple[str, str]]:
    """Failpoints that the processes logged, as (point, action)."""
    lines = "\n".join(process.log.read_text(errors="replace") for process in processes)
    return set(re.findall(r"^failpoint (\S+) (\S+)$", lines, re.M))


@dataclass
class Customers:
    """Creates orders near and far, and delivers them, until it is stopped."""

    town: Town
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def order(self) -> None:
        for number in itertools.count():
            if self.over.is_set():
                return
            await self.town.create_order(f"near-{number}")
            if number % 10 == 0:
                await self.town.create_order(f"far-{number}", NOWHERE)
            await self._deliver()
            await asyncio.sleep(0.05)

    async def _deliver(self) -> None:
        with suppress(httpx.HTTPError):  # the api is down just now
            await self.town.deliver_all()


@asynccontextmanager
async def ordering(town: Town) -> AsyncGenerator[Customers]:
    customers = Customers(town)
    task = asyncio.create_task(customers.order())
    try:
        yield customers
    finally:
        customers.over.set()
        await task


async def all_well(town: Town, conninfo: str) -> None:
    """Every order reaches a final state, without a violation."""

    async def at_rest() -> bool:
        await town.deliver_all()
        return settled(conninfo)

    await eventually(at_rest, within=120, every=0.2)
    assert read_state(conninfo).violations == []


@dataclass
class Victims:
    """Processes with failpoints of their role."""

    installation: Installation
    started: list[RoleProcess] = field(default_factory=list[RoleProcess])

    def launch(self, role: str, spec: str) -> RoleProcess:
        process = self.installation.launch(role, **QUICK, GOFLEET_FAILPOINTS=spec)
        self.started.append(process)
        return process

    async def dying(self, role: str, points: list[str]) -> None:
        """A process for each point, which is killed there, and one without failpoints."""
        if role in SHARED:
            self.launch(role, "")
            await asyncio.gather(*(self._death(role, point) for point in points))
        else:
            for point in points:
                await self._death(role, point)
            self.launch(role, "")

    async def _death(self, role: str, point: str) -> None:
        victim = self.launch(role, f"{point}=kill")
        await eventually(lambda: victim.popen.poll() is not None, within=DEATH_SECONDS, every=0.1)
        assert victim.popen.returncode == -signal.SIGKILL, victim.log.read_text()

    def launch_one(self, role: str, points: list[str], action: str) -> None:
        """One process for all points, each at another passing so that no message reaches them all."""
        self.launch(role, ";".join(f"{point}={action}@{passing}" for passing, point in enumerate(points, 1)))

    async def reached(self, action: str) -> None:
        wanted = {(point, action) for point in POINTS}
        try:
            await eventually(lambda: wanted <= reached(self.started), within=DEATH_SECONDS, every=0.5)
        except AssertionError:
            raise AssertionError(f"never reached: {wanted - reached(self.started)}") from None


@pytest.mark.timeout(600)
async def test_killed_anywhere_nothing_is_lost(installation: Installation, town: Town, clean_database: str) -> None:
    victims = Victims(installation)
    installation.start("fleet", "api", **QUICK)
    await town.add_drivers(20)
    installation.kill()

    async with ordering(town):
        deaths = (victims.dying(role, points_of(role)) for role in ROLES)
        await asyncio.gather(*deaths)
        await victims.reached("kill")

    await all_well(town, clean_database)


@pytest.mark.timeout(600)
async def test_frozen_anywhere_nothing_is_lost(installation: Installation, town: Town, clean_database: str) -> None:
    victims = Victims(installation)
    for role in ROLES:
        victims.launch_one(role, points_of(role), "stop:3s")  # longer than the lease of 2 s
    installation.start("worker", "relay", **QUICK)  # which take over from the frozen ones
    await eventually(lambda: all(process.ready() for process in victims.started), within=120)
    await town.add_drivers(20)

    async with ordering(town):
        await victims.reached("stop:3s")

    await all_well(town, clean_database)


@pytest.mark.timeout(600)
async def test_failing_anywhere_nothing_is_lost(installation: Installation, town: Town, clean_database: str) -> None:
    victims = Victims(installation)
    for role in ("fleet", "worker", "api"):
        victims.launch_one(role, points_of(role), "raise")
    await eventually(lambda: all(process.ready() for process in victims.started), within=120)
    await town.add_drivers(20)

    async with ordering(town):
        for point in points_of("relay"):
            victims.launch("relay", f"{point}=raise")
        await victims.reached("raise")
        assert all(process.popen.poll() is None for process in victims.started)  # each logs the error and continues

    await all_well(town, clean_database)
