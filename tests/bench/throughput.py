"""What the whole pipeline does for a long time: orders created, dispatched and delivered, every event published.

In a closed loop, so that nothing can pile up: as many orders come in as leave. Beside it, what bare libraries carry
that make the same hops for each order by itself: no ceiling in the strict sense, for what is done for many at once is
cheaper.
"""

from __future__ import annotations

from tests.bench.accounting import ELSEWHERE
from tests.bench.dispatching import Spell, a_fleet
from tests.bench.figures import Aim, Figure
from tests.bench.journey import bare_journeys
from tests.bench.servers import Bench

CASE = "throughput"
SECONDS, WARM_SECONDS = 20.0, 6.0
UNDER_WAY = 400
DRIVERS = 2000
BARE = "bare libraries, two processes, each order by itself"
BARE_SECONDS, BARE_AT_ONCE = 8.0, 64
RATE_MIN = 500.0
MS_MAX = 5000.0


async def measure(at: Bench) -> list[Figure]:
    spells: list[Spell] = []
    bare: list[float] = []
    seconds, warm, under_way = (0.6, 0.3, 20) if at.smoke else (SECONDS, WARM_SECONDS, UNDER_WAY)
    async with a_fleet(at, CASE, 200 if at.smoke else DRIVERS) as fleet:
        await fleet.spell(fleet.plan(warm, under_way))
        for number, variant in at.turns(2):
            if variant:
                made = await bare_journeys(at, CASE, 0.5 if at.smoke else BARE_SECONDS, BARE_AT_ONCE)
                bare.append(made.rate)
                at.say(f"{CASE} {number + 1}: {BARE} {made.rate:.0f} orders/s")
                continue
            spells.append(await fleet.spell(fleet.plan(seconds, under_way)))
            at.say(f"{CASE} {number + 1}: {spells[-1].rate:.0f} orders/s")
            await fleet.published()
        resident = fleet.resident_mb()
        await fleet.verified()
    ceiling = Figure(CASE, BARE, "orders/s", tuple(bare))
    return [*_speed(spells), ceiling, *_cpu(spells), *_memory(resident)]


def _speed(spells: list[Spell]) -> list[Figure]:
    aim = Aim(f"at least {RATE_MIN:.0f} orders/s, goal 800", least=RATE_MIN)
    return [
        Figure(CASE, "created, dispatched, delivered", "orders/s", tuple(each.rate for each in spells), BARE, aim=aim),
        _waited(spells, 50, None),
        _waited(spells, 99, Aim("below 5 s", most=MS_MAX)),
    ]


def _waited(spells: list[Spell], percent: int, aim: Aim | None) -> Figure:
    values = tuple(each.milliseconds(percent) for each in spells)
    return Figure(CASE, f"create to dispatched p{percent}", "ms", values, better="lower", aim=aim)


def _cpu(spells: list[Spell]) -> list[Figure]:
    """Of each role and service, and of all of them together: the rest (the measuring, others) is reported
    separately."""
    ours = {name: tuple(each.cpu[name] for each in spells) for name in spells[0].cpu}
    extra = {name: ours.pop(name) for name in ("bench", ELSEWHERE)}
    all_of_it = tuple(map(sum, zip(*ours.values(), strict=True)))
    reported = {**ours, "roles and services": all_of_it, **extra}
    return [Figure(CASE, f"CPU {name}", "ms/order", values, better="lower") for name, values in reported.items()]


def _memory(resident: dict[str, float]) -> list[Figure]:
    return [Figure(CASE, f"memory {role}", "MiB", (mb,), better="lower") for role, mb in resident.items()]
