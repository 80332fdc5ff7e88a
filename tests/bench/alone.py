"""What an order costs when few others share its batches: CPU, context switches and round trips at low rates, beside an
installation that idles, and beside orders at saturation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.bench.accounting import ELSEWHERE
from tests.bench.calls import CallResult
from tests.bench.dispatching import BENCH, Fleet, Spell, a_fleet
from tests.bench.figures import Aim, Figure, ratio
from tests.bench.journey import bare_journeys
from tests.bench.round_trips import counted
from tests.bench.servers import Bench

CASE = "alone"
RATES = {5.0: 10.0, 20.0: 8.0, 50.0: 8.0}
"""Orders a second, and for how many seconds."""
HIGHEST_RATE = max(RATES)
BARE_AT_ONCE = 4
"""More than are under way at once at the highest rate."""
IDLE, SATURATED, COUNTED, BARE = "idle", "saturated", "counted", f"bare libraries at {HIGHEST_RATE:g} orders/s"
IDLE_SECONDS, SATURATED_SECONDS, COUNTED_SECONDS = 5.0, 8.0, 5.0
SMOKE_SECONDS = 0.6
UNDER_WAY, DRIVERS = 400, 2000
COUNTED_RATE = 20.0
ALL = "roles and services"


@dataclass(frozen=True)
class Cost:
    """Of an order: CPU milliseconds without what the installation uses when idle, and context switches."""

    spell: Spell
    cpu: Mapping[str, float]
    switches: Mapping[str, float]


async def measure(at: Bench) -> list[Figure]:
    costs: dict[float, list[Cost]] = {rate: [] for rate in RATES}
    idle: list[Mapping[str, float]] = []
    saturated: list[Spell] = []
    trips: list[Mapping[str, float]] = []
    bare: list[CallResult] = []
    kinds = [IDLE, *RATES, COUNTED, SATURATED, BARE]
    async with a_fleet(at, CASE, 300 if at.smoke else DRIVERS) as fleet:
        await fleet.spell(fleet.plan(_seconds(at, 4.0), 0, 50.0))
        idle.append(await _idle(at, fleet))  # so that there is one to subtract, whatever comes first
        for number, variant in at.turns(len(kinds)):
            match kind := kinds[variant]:
                case "idle":
                    idle.append(await _idle(at, fleet))
                case "counted":
                    trips.append(await _trips(at, fleet))
                case "saturated":
                    saturated.append(await fleet.spell(fleet.plan(_seconds(at, SATURATED_SECONDS), UNDER_WAY)))
                case float():
                    costs[kind].append(await _cost(at, fleet, kind, idle[-1]))
                    at.say(f"{CASE} {number + 1}: at {kind:g}/s {costs[kind][-1].cpu[ALL]:.1f} ms of CPU an order")
                case _:
                    bare.append(await _bare(at, idle[-1]))
            await fleet.published()
        await fleet.verified()
    return [
        *_figures(costs),
        *_by_name("CPU {} when idle", "ms/s", idle[1:]),
        *_compared(costs, saturated),
        *_by_name(f"{{}} at {COUNTED_RATE:g} orders/s", "per order", trips),
        *_of_bare(costs, bare),
    ]


def _seconds(at: Bench, seconds: float) -> float:
    return SMOKE_SECONDS if at.smoke else seconds


async def _idle(at: Bench, fleet: Fleet) -> Mapping[str, float]:
    """CPU milliseconds a second."""
    seconds = _seconds(at, IDLE_SECONDS)
    before = fleet.read()
    await asyncio.sleep(seconds)
    return _with_all({name: ms / seconds for name, ms in fleet.read().since(before).items()})


async def _cost(at: Bench, fleet: Fleet, rate: float, idle: Mapping[str, float]) -> Cost:
    before = fleet.switches()
    spell = await fleet.spell(fleet.plan(_seconds(at, RATES[rate]), 0, rate))
    orders = len(spell.done.due)
    switches = {name: (count - before[name]) / orders for name, count in fleet.switches().items()}
    return Cost(spell, {name: ms - idle[name] / rate for name, ms in _with_all(spell.cpu).items()}, switches)


async def _bare(at: Bench, idle: Mapping[str, float]) -> CallResult:
    """Bare journeys at the highest rate, beside an installation that idles."""
    made = await bare_journeys(at, CASE, _seconds(at, RATES[HIGHEST_RATE]), BARE_AT_ONCE, HIGHEST_RATE)
    cpu = {name: ms / made.things - idle.get(name, 0.0) / HIGHEST_RATE for name, ms in made.cpu.items()}
    return replace(made, cpu=_with_all(cpu))


async def _trips(at: Bench, fleet: Fleet) -> Mapping[str, float]:
    """Of an order, what an idle installation does among them: at 20 a second, a twentieth of a second's."""
    at.servers.count_statements(on=True)
    before = await counted(fleet)
    spell = await fleet.spell(fleet.plan(_seconds(at, COUNTED_SECONDS), 0, COUNTED_RATE))
    after = await counted(fleet)
    at.servers.count_statements(on=False)
    return {name: (count - before[name]) / len(spell.done.due) for name, count in after.items()}


def _with_all(cpu: Mapping[str, float]) -> dict[str, float]:
    return {**cpu, ALL: sum(ms for name, ms in cpu.items() if name not in (BENCH, ELSEWHERE))}


def _figures(costs: Mapping[float, Sequence[Cost]]) -> list[Figure]:
    found: list[Figure] = []
    for rate, each in costs.items():
        for percent in (50, 99):
            waited = tuple(cost.spell.milliseconds(percent) for cost in each)
            name = f"create to dispatched at {rate:g} orders/s p{percent}"
            ceiling = f"{BARE}, p{percent}" if rate == HIGHEST_RATE else None
            found.append(Figure(CASE, name, "ms", waited, ceiling, better="lower"))
        found += _by_name(f"CPU {{}} at {rate:g} orders/s", "ms/order", [cost.cpu for cost in each])
        found += _by_name(f"context switches {{}} at {rate:g} orders/s", "per order", [cost.switches for cost in each])
    return found


def _compared(costs: Mapping[float, Sequence[Cost]], saturated: Sequence[Spell]) -> list[Figure]:
    full = Figure(CASE, f"CPU {ALL}, saturated", "ms/order", tuple(_with_all(each.cpu)[ALL] for each in saturated))
    alone = Figure(CASE, "", "ms/order", tuple(each.cpu[ALL] for each in costs[HIGHEST_RATE]), better="lower")
    aim = Aim("at most 7", most=7)
    speed = Figure(CASE, "saturated", "orders/s", tuple(each.rate for each in saturated))
    return [full, speed, ratio(alone, full, f"CPU of an order at {HIGHEST_RATE:g} orders/s, of saturated", aim)]


def _by_name(name: str, unit: str, each: Sequence[Mapping[str, float]]) -> list[Figure]:
    shown = [key for key in each[0] if key != ELSEWHERE]
    return [Figure(CASE, name.format(key), unit, tuple(one[key] for one in each), better="lower") for key in shown]


def _of_bare(costs: Mapping[float, Sequence[Cost]], bare: Sequence[CallResult]) -> list[Figure]:
    """What the hops of an order themselves need at the same rate: batches are as small, processors as cold."""
    ours = Figure(CASE, "", "ms/order", tuple(cost.cpu[ALL] for cost in costs[HIGHEST_RATE]), better="lower")
    theirs = Figure(CASE, "", "ms/order", tuple(each.cpu[ALL] for each in bare))
    return [
        *(
            Figure(
                CASE, f"{BARE}, p{percent}", "ms", tuple(each.milliseconds(percent) for each in bare), better="lower"
            )
            for percent in (50, 99)
        ),
        *_by_name(f"CPU {{}} of {BARE}", "ms/order", [each.cpu for each in bare]),
        ratio(
            ours, theirs, f"CPU of an order at {HIGHEST_RATE:g} orders/s, of bare libraries'", Aim("at most 2", most=2)
        ),
    ]
