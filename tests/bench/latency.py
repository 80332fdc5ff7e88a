"""How long an order waits for its driver: from when its request was due to the commit that dispatched it.

The clocks are one: the generator's and PostgreSQL's (pg_xact_commit_timestamp) are this machine's. Beside it, as its
ceiling, what the same hops take one after the other without any of us.
"""

from __future__ import annotations

from tests.bench.calls import CallResult
from tests.bench.dispatching import Spell, a_fleet
from tests.bench.figures import Aim, Figure
from tests.bench.journey import bare_journeys
from tests.bench.servers import Bench

CASE = "latency"
RATES = {1.0: 15.0, 50.0: 10.0, 200.0: 8.0}
"""Orders a second, and for how many seconds."""
DRIVERS = 5000
"""Enough for all orders of a spell at once: their deliveries follow afterwards and are not measured."""
AIMS = {
    (50.0, 50): Aim("below 30 ms", most=30),
    (50.0, 99): Aim("below 100 ms", most=100),
    (200.0, 99): Aim("below 500 ms", most=500),
}
BARE = "bare libraries, one order at a time"
BARE_SECONDS = 5.0


async def measure(at: Bench) -> list[Figure]:
    spells: dict[float, list[Spell]] = {rate: [] for rate in RATES}
    bare: list[CallResult] = []
    rates = list(RATES)
    async with a_fleet(at, CASE, 300 if at.smoke else DRIVERS) as fleet:
        await fleet.spell(fleet.plan(0.5 if at.smoke else 4.0, 0, 50.0, patient=True))
        for number, variant in at.turns(len(rates) + 1):
            if variant == len(rates):
                bare.append(await bare_journeys(at, CASE, 0.5 if at.smoke else BARE_SECONDS, 1))
                at.say(f"{CASE} {number + 1}: {BARE} p50 {bare[-1].milliseconds(50):.0f} ms")
                continue
            rate = rates[variant]
            spell = await fleet.spell(fleet.plan(1.0 if at.smoke else RATES[rate], 0, rate, patient=True))
            spells[rate].append(spell)
            at.say(f"{CASE} {number + 1}: at {rate:g}/s p99 {spell.milliseconds(99):.0f} ms")
            await fleet.published()
        await fleet.verified()
    return [
        *(_figure(rate, percent, found) for rate, found in spells.items() for percent in (50, 99)),
        *(_bare(percent, bare) for percent in (50, 99)),
    ]


def _figure(rate: float, percent: int, spells: list[Spell]) -> Figure:
    values = tuple(each.milliseconds(percent) for each in spells)
    name = f"create to dispatched at {rate:g} orders/s p{percent}"
    aim = AIMS.get((rate, percent))
    return Figure(CASE, name, "ms", values, f"{BARE}, p{percent}", better="lower", aim=aim)


def _bare(percent: int, bare: list[CallResult]) -> Figure:
    values = tuple(each.milliseconds(percent) for each in bare)
    return Figure(CASE, f"{BARE}, p{percent}", "ms", values, better="lower")
