"""What remains of the rates when the tables have grown: the same few thousand orders on top of 10,000, a million, and
five million."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace

from tests.bench.backlog import grow, leave_events, settle
from tests.bench.dispatching import at_work
from tests.bench.drain import drained
from tests.bench.figures import Aim, Figure, ratio
from tests.bench.load import Load, NewOrders, send
from tests.bench.queues import forget
from tests.bench.servers import Bench, Measured

CASE = "growth"
SIZES = (10_000, 1_000_000, 5_000_000)
SMOKE_SIZES = (100, 1000)
REPETITIONS = 2
"""Of the relay, at most."""
SPELLS = 3
"""Of the others, for each repetition of the bench."""
FIRST_PORT = 18_100
CONNECTIONS = 64
BACKLOG = 10_000
UNDER_WAY, DRIVERS = 200, 1000
KEPT = 0.9
RATES = {"ingest": "orders/s", "relay": "events/s", "dispatch": "orders/s"}


@dataclass
class _Tables:
    size: int
    measured: Measured
    rates: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in RATES})

    async def ingest(self, seconds: float, turn: int) -> None:
        port = int(self.measured.installation.environment["WEB_SERVER_PORT"])
        load = Load(NewOrders(f"grown-{turn}-"), (port,), CONNECTIONS, seconds, warm_seconds=seconds / 4)
        outcome = await send(load)
        if outcome.accepted != len(outcome.statuses):
            raise AssertionError(f"port {port} answered {outcome.counts}")
        self.rates["ingest"].append(outcome.rate)
        settle(self.measured.conninfo)

    def tell(self, at: Bench, turn: int, name: str) -> None:
        at.say(f"{CASE} {turn + 1}: at {self.size:,}: {name} {self.rates[name][-1]:.0f} {RATES[name]}")

    async def relay(self, backlog: int, turn: int) -> None:
        leave_events(self.measured.conninfo, backlog, f"left-{turn}-")
        self.rates["relay"].append(await drained(self.measured, backlog))


async def measure(at: Bench) -> list[Figure]:
    seconds, backlog = (0.5, BACKLOG // 20) if at.smoke else (4.0, BACKLOG)
    few, many = (replace(at, repetitions=each) for each in (min(at.repetitions, REPETITIONS), at.repetitions * SPELLS))
    with ExitStack() as stack:
        grown: list[_Tables] = []
        for number, size in enumerate(SMOKE_SIZES if at.smoke else SIZES):
            ports = {"WEB_SERVER_PORT": str(FIRST_PORT + number), "GRPC_PORT": str(FIRST_PORT + 100 + number)}
            measured = stack.enter_context(at.servers.installation(CASE, **ports))
            grow(measured.conninfo, size)
            grown.append(_Tables(size, measured))
            at.say(f"{CASE}: {size:,} orders are there")
        await _ingest(many, grown, seconds / 2)
        for number, variant in few.turns(len(grown)):
            tables = grown[variant]
            await tables.relay(backlog, number)
            await forget(at.servers, tables.measured)
            tables.tell(at, number, "relay")
        await _dispatch(many, grown, seconds)
    return [figure for name in RATES for figure in _figures(name, grown)]


async def _ingest(at: Bench, grown: Sequence[_Tables], seconds: float) -> None:
    """An api on each of the tables, in turns as below."""
    for tables in grown:
        tables.measured.installation.start("api")
    for number, variant in at.turns(len(grown)):
        await grown[variant].ingest(seconds, number)
        grown[variant].tell(at, number, "ingest")
    for tables in grown:
        tables.measured.installation.stop()


async def _dispatch(at: Bench, grown: Sequence[_Tables], seconds: float) -> None:
    """All roles on each of the tables, of which one at a time has something to do: in many short spells, for what a
    minute's difference makes to this machine is more than what the tables make."""
    least = 10 if at.smoke else 1
    async with AsyncExitStack() as stack:
        fleets = [await stack.enter_async_context(at_work(at, each.measured, DRIVERS // least)) for each in grown]
        for fleet in fleets:
            await fleet.spell(fleet.plan(seconds / 2, UNDER_WAY // least))
        for number, variant in at.turns(len(grown)):
            fleet, tables = fleets[variant], grown[variant]
            tables.rates["dispatch"].append((await fleet.spell(fleet.plan(seconds, UNDER_WAY // least))).rate)
            tables.tell(at, number, "dispatch")


def _figures(name: str, grown: list[_Tables]) -> list[Figure]:
    first, *later = (
        Figure(CASE, f"{name} at {tables.size:,} orders", RATES[name], tuple(tables.rates[name])) for tables in grown
    )
    few, most = grown[0].size, grown[-1].size
    aim = Aim(f"at least {KEPT:.0%} of the rate at {few:,}", least=KEPT)
    return [first, *later, ratio(later[-1], first, f"{name} at {most:,} orders, of that at {few:,}", aim)]
