"""What remains of the rates when the tables have grown: the same few thousand orders on top of 10,000, a million, and
five million."""

from __future__ import annotations

from contextlib import ExitStack
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
FEW = (100, 1000)
REPETITIONS = 2
"""At most: one takes half a minute for each size."""
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
        (api,) = self.measured.installation.start("api")
        port = int(self.measured.installation.environment["WEB_SERVER_PORT"])
        load = Load(NewOrders(f"grown-{turn}-"), (port,), CONNECTIONS, seconds, warm_seconds=seconds / 4)
        outcome = await send(load)
        if outcome.accepted != len(outcome.statuses):
            raise AssertionError(f"{api.name} answered {outcome.counts}")
        self.rates["ingest"].append(outcome.rate)
        self.measured.installation.stop()
        settle(self.measured.conninfo)

    async def relay(self, backlog: int, turn: int) -> None:
        leave_events(self.measured.conninfo, backlog, f"left-{turn}-")
        self.rates["relay"].append(await drained(self.measured, backlog))

    async def dispatch(self, at: Bench, seconds: float) -> None:
        """All roles, drivers freed again: what is left is what it was before."""
        async with at_work(at, self.measured, DRIVERS // (10 if at.smoke else 1)) as fleet:
            under_way = UNDER_WAY // (10 if at.smoke else 1)
            await fleet.spell(fleet.plan(seconds / 4, under_way))
            self.rates["dispatch"].append((await fleet.spell(fleet.plan(seconds, under_way))).rate)


async def measure(at: Bench) -> list[Figure]:
    seconds, backlog = (0.5, BACKLOG // 20) if at.smoke else (4.0, BACKLOG)
    at = replace(at, repetitions=min(at.repetitions, REPETITIONS))
    with ExitStack() as stack:
        grown: list[_Tables] = []
        for size in FEW if at.smoke else SIZES:
            measured = stack.enter_context(at.servers.installation(CASE))
            grow(measured.conninfo, size)
            grown.append(_Tables(size, measured))
            at.say(f"{CASE}: {size:,} orders are there")
        for number, variant in at.turns(len(grown)):
            tables = grown[variant]
            await tables.ingest(seconds, number)
            await tables.relay(backlog, number)
            await forget(at.servers, tables.measured)
            await tables.dispatch(at, 2 * seconds)
            told = ", ".join(f"{name} {rates[-1]:.0f} {RATES[name]}" for name, rates in tables.rates.items())
            at.say(f"{CASE} {number + 1}: at {tables.size:,}: {told}")
    return [figure for name in RATES for figure in _figures(name, grown)]


def _figures(name: str, grown: list[_Tables]) -> list[Figure]:
    first, *later = (
        Figure(CASE, f"{name} at {tables.size:,} orders", RATES[name], tuple(tables.rates[name])) for tables in grown
    )
    few, most = grown[0].size, grown[-1].size
    aim = Aim(f"at least {KEPT:.0%} of the rate at {few:,}", least=KEPT)
    return [first, *later, ratio(later[-1], first, f"{name} at {most:,} orders, of that at {few:,}", aim)]
