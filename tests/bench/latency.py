"""How long an order waits for its driver: from when its request was due to the commit that dispatched it.

The clocks are one: the generator's and PostgreSQL's (pg_xact_commit_timestamp) are this machine's. Beside it, as its
ceiling, what the same hops take in bare libraries at the same rate: a processor that idles is slow to begin, and one
order after the other, without a pause, would be compared with a warm one.
"""

from __future__ import annotations

from tests.bench.calls import CallResult
from tests.bench.dispatching import Spell, a_fleet
from tests.bench.figures import Aim, Figure, ratio
from tests.bench.journey import bare_journeys
from tests.bench.servers import Bench

CASE = "latency"
RATES = {1.0: 15.0, 50.0: 10.0, 200.0: 8.0}
"""Orders a second, and for how many seconds."""
DRIVERS = 5000
"""Enough for all orders of a spell at once: their deliveries follow afterwards and are not measured."""
BARE = "bare libraries"
BARE_AT_ONCE = 4
BARE_RATES = (1.0, 50.0)
"""200 orders a second are more than bare libraries in one process can do."""
OF_BARE = {
    (1.0, 50): Aim("at most 1.5", most=1.5),
    (50.0, 50): Aim("at most 2.5", most=2.5),
    (50.0, 99): Aim("at most 3", most=3),
}
AIMS = {(200.0, 99): Aim("below 500 ms", most=500)}


async def measure(at: Bench) -> list[Figure]:
    spells: dict[float, list[Spell]] = {rate: [] for rate in RATES}
    bare: dict[float, list[CallResult]] = {rate: [] for rate in BARE_RATES}
    rates = list(RATES)
    async with a_fleet(at, CASE, 300 if at.smoke else DRIVERS) as fleet:
        await fleet.spell(fleet.plan(0.5 if at.smoke else 4.0, 0, 50.0, patient=True))
        for number, variant in at.turns(len(rates) + len(BARE_RATES)):
            if variant >= len(rates):
                rate = BARE_RATES[variant - len(rates)]
                seconds = 1.0 if at.smoke else RATES[rate]
                bare[rate].append(await bare_journeys(at, CASE, seconds, BARE_AT_ONCE, rate))
                at.say(f"{CASE} {number + 1}: {BARE} at {rate:g}/s p50 {bare[rate][-1].milliseconds(50):.0f} ms")
                continue
            rate = rates[variant]
            spell = await fleet.spell(fleet.plan(1.0 if at.smoke else RATES[rate], 0, rate, patient=True))
            spells[rate].append(spell)
            at.say(f"{CASE} {number + 1}: at {rate:g}/s p99 {spell.milliseconds(99):.0f} ms")
            await fleet.published()
        await fleet.verified()
    figures = {(rate, percent): _ours(rate, percent, found) for rate, found in spells.items() for percent in (50, 99)}
    theirs = {(rate, percent): _bare(rate, percent, found) for rate, found in bare.items() for percent in (50, 99)}
    ratios = [
        ratio(figures[which], theirs[which], f"{figures[which].name}, of {theirs[which].name}", aim)
        for which, aim in OF_BARE.items()
    ]
    return [*figures.values(), *theirs.values(), *ratios]


def _ours(rate: float, percent: int, spells: list[Spell]) -> Figure:
    values = tuple(each.milliseconds(percent) for each in spells)
    name = f"create to dispatched at {rate:g} orders/s p{percent}"
    ceiling = _named(rate, percent) if rate in BARE_RATES else None
    return Figure(CASE, name, "ms", values, ceiling, better="lower", aim=AIMS.get((rate, percent)))


def _bare(rate: float, percent: int, bare: list[CallResult]) -> Figure:
    values = tuple(each.milliseconds(percent) for each in bare)
    return Figure(CASE, _named(rate, percent), "ms", values, better="lower")


def _named(rate: float, percent: int) -> str:
    return f"{BARE} at {rate:g} orders/s p{percent}"
