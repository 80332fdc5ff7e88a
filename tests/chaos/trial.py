"""One trial: load, harm, healing, rest, and the question whether every promise was kept."""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from gofleet.domain.place import Place
from tests.chaos.client import Client
from tests.chaos.load import Drivers, Load, pinging
from tests.chaos.member import Member
from tests.chaos.rest import rest
from tests.chaos.rig import World
from tests.chaos.tally import tally
from tests.chaos.verdict import violations
from tests.makers import CENTRE
from tests.waiting import eventually

DRIVERS = 15
LOAD_SECONDS = 150.0


@dataclass
class Stage:
    """A world with customers and drivers, for one trial after the other. `rounds`: how many workers F3 kills."""

    world: World
    client: Client
    drivers: Drivers
    crew: list[str]
    rounds: int = 1
    trials: int = 0


@asynccontextmanager
async def a_stage(world: World, drivers: int = DRIVERS, rounds: int = 1) -> AsyncGenerator[Stage]:
    """Drivers on the road for the block."""
    limits = httpx.Limits(max_connections=400, max_keepalive_connections=50)
    async with httpx.AsyncClient(trust_env=False, limits=limits) as http:
        client = Client(http, world.addresses, world.ledger)
        pool = Drivers(Client(http, world.addresses, world.ledger))
        crew = await pool.hire("driver", drivers)
        async with pinging(pool):
            yield Stage(world, client, pool, crew, rounds)


@dataclass
class Trial:
    """What a fault is given: the world, dice by the seed, and a place for its complaints."""

    name: str
    stage: Stage
    dice: random.Random
    seed: str
    complaints: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    orders: int = 0
    loads: int = 0
    background: Load | None = None

    @property
    def world(self) -> World:
        return self.stage.world

    def check(self, holds: bool, complaint: str) -> None:
        """A promise that only this fault can look at."""
        if not holds:
            self.complaints.append(complaint)

    def note(self, text: str) -> None:
        self.notes.append(text)

    @asynccontextmanager
    async def load(
        self,
        orders: int = 40,
        rate: float = 15.0,
        *,
        ending: str | None = None,
        drivers: list[str] | None = None,
        centre: Place = CENTRE,
        client: Client | None = None,
        cancel_within: float = 1.0,
        heal: bool = True,
    ) -> AsyncGenerator[Load]:
        """Orders while the block does its harm; its end heals, and waits until every customer has had an answer."""
        if self.background is not None:
            yield self.background
            return
        self.loads += 1
        seed = f"{self.seed}{chr(96 + self.loads)}"
        load = Load(
            client or self.stage.client, seed, orders, rate, drivers or self.stage.crew, centre, ending, cancel_within
        )
        running = asyncio.create_task(load.run())
        try:
            yield load
            if heal:
                await self.world.heal()
            async with asyncio.timeout(LOAD_SECONDS):
                await running
        finally:
            running.cancel()
            await asyncio.wait({running})
            self.orders += len(load.ids)
            self.complaints += load.complaints

    async def armed(self, role: str, *points: str) -> list[Member]:
        """One more process of `role` for each failpoint spec, ready to run into it."""
        started = [await self.world.add(role, wait=False, GOFLEET_FAILPOINTS=point) for point in points]
        await asyncio.gather(*(_ready_or_hit(member) for member in started))
        return started

    async def all_hit(self, armed: list[Member], within: float = 60.0) -> bool:
        """Wait until each has run into its failpoint; False if some has not in time."""
        try:
            await eventually(lambda: all(_has_hit(member) for member in armed), within=within, every=0.1)
        except AssertionError:
            return False
        return True

    def check_all_hit(self, armed: list[Member]) -> None:
        """A trial that never came to its point proves nothing."""
        missed = [member.own["GOFLEET_FAILPOINTS"] for member in armed if not _has_hit(member)]
        if missed and self.background is not None:
            self.note(f"never came to {', '.join(missed)}: other orders take their own paths")
        else:
            self.check(not missed, f"never came to {', '.join(missed)}, so nothing was tried there")

    async def dismiss(self, armed: list[Member]) -> None:
        for member in armed:
            await self.world.remove(member)


async def _ready_or_hit(member: Member) -> None:
    """Under load it may reach its failpoint before it was seen ready."""
    try:
        await member.ready()
    except AssertionError:
        if not _has_hit(member):
            raise


def _has_hit(member: Member) -> bool:
    return f"failpoint {member.own['GOFLEET_FAILPOINTS'].split('=')[0]} " in member.log()


Act = Callable[[Trial], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """A disaster by its name in the fault matrix. `in_ci`: part of every test run; `own_world`: not on a shared one;
    `nemesis`: may happen beside other load at any time; `any_broker`: with Redis Streams as well."""

    name: str
    about: str
    act: Act
    in_ci: bool = False
    own_world: bool = False
    nemesis: bool = True
    any_broker: bool = False


@dataclass(frozen=True)
class Outcome:
    fault: str
    about: str
    seed: str
    orders: int
    violations: list[str]
    notes: list[str]
    seconds: float


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    about: str,
    *,
    in_ci: bool = False,
    own_world: bool = False,
    nemesis: bool = True,
    any_broker: bool = False,
) -> Callable[[Act], Act]:
    """Register a fault."""

    def register(act: Act) -> Act:
        FAULTS[name] = Fault(name, about, act, in_ci, own_world, nemesis, any_broker)
        return act

    return register


def a_trial(stage: Stage, name: str, seed: int) -> Trial:
    """A trial whose orders have ids of their own on this stage."""
    stage.trials += 1
    return Trial(name, stage, random.Random(f"{seed}/{name}"), f"{name.lower()}-{seed}-{stage.trials}")  # noqa: S311


async def tried(stage: Stage, chosen: Fault, seed: int) -> Outcome:
    """Do the harm, heal, wait for rest and judge."""
    started = time.monotonic()
    trial = a_trial(stage, chosen.name, seed)
    try:
        await chosen.act(trial)
    except Exception:
        trial.complaints.append(f"the trial itself failed:\n{traceback.format_exc()}")
    found = [*trial.complaints, *await judged(stage.world, trial.notes)]
    await tidied(stage)
    if found:
        await stage.world.dump()
    return Outcome(
        chosen.name, chosen.about, trial.seed, trial.orders, found, trial.notes, round(time.monotonic() - started, 1)
    )


async def tidied(stage: Stage) -> None:
    """Deliver what is still under way, so that the next trial has drivers."""
    answer = await stage.client.ask("GET", "/api/v1/orders?status=DISPATCHED&limit=100")
    for order in answer.body["items"] if answer and answer.ok else ():
        await stage.client.act("deliver", order["id"], f"/{order['id']}/deliver")


async def judged(world: World, notes: list[str]) -> list[str]:
    """Heal, wait for rest, verify, and count: what became of all orders of this world is added to `notes`."""
    try:
        await world.heal()
        found = [*await rest(world), *await violations(world)]
        counted, adds_up = await tally(world)
        notes.append(counted)
        return found if adds_up else [*found, f"the counts do not add up: {counted}"]
    except Exception:
        return [f"the world could not be judged:\n{traceback.format_exc()}"]
