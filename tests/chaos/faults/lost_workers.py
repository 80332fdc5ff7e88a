"""What the death of a worker costs the orders in flight in it, and a message that is the cause of such deaths (F22)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from pathlib import Path

from gofleet.domain.place import Place
from tests.chaos.bounds import DELIVERY_LIMIT
from tests.chaos.load import Load
from tests.chaos.member import Member
from tests.chaos.trial import Trial, fault
from tests.makers import CENTRE
from tests.waiting import eventually

FAR = Place(CENTRE.lat - 3, CENTRE.lng)
"""Some 330 km from the other drivers."""
DRIVERS = 120
ORDERS = 80
RATE = 100.0
HELD_MIN = 20
HELD_SECONDS = 1.0
"""An order that waits so long after its event was published is in flight in the slow worker: the others are fast."""
SLOW_SECONDS = 2.0
TAKE_OVER_SECONDS = 5.0
HOLDING = {
    "WORKER_CONCURRENCY": "32",
    "WORKER_PREFETCH": "64",
    "WORKER_LEASE_SECONDS": "15",
    "WORKER_DEADLINE_SECONDS": "8",
    "FLEET_TIMEOUT_SECONDS": "6",
}
"""The defaults of the product, but with time for a slow fleet: orders must not wait for this lease."""
KILLED = str(Path(__file__).parents[1] / "mutants" / "kills_worker")
PARKED_SECONDS = 150.0

HELD = """
    select o.id, now() from orders o join outbox e on e.aggregate_id = o.id
    where o.id = any(%s) and o.status = 'PENDING' and e.published_at < now() - make_interval(secs => %s)
"""
DISPATCHED = """
    select order_id, extract(epoch from min(at) - %s)::float8 from order_log
    where order_id = any(%s) and became = 'DISPATCHED' group by order_id
"""


async def killed_in_flight(trial: Trial) -> None:
    """kill -9 of a worker with at least 20 orders in flight: they are dispatched within 5 s at the 99th percentile."""
    crew = await trial.stage.drivers.hire(f"{trial.seed}-driver", DRIVERS, FAR)
    waits = list[float]()
    for _ in range(trial.stage.rounds):
        waits += await _killed_once(trial, crew)
    trial.stage.drivers.dismiss(crew)
    waits.sort()
    middle, late = (waits[ceil(len(waits) * share) - 1] for share in (0.5, 0.99))
    trial.note(
        f"{len(waits)} orders in flight in {trial.stage.rounds} killed workers were dispatched after {middle:.2f} s at "
        f"p50, {late:.2f} s at p99, {waits[-1]:.2f} s at most"
    )
    trial.check(late < TAKE_OVER_SECONDS, f"dispatched after {late:.2f} s at p99, not {TAKE_OVER_SECONDS:g}")


async def _killed_once(trial: Trial, crew: list[str]) -> list[float]:
    """Seconds from the kill to the dispatch of each order that was in flight; at most 20 if fewer were."""
    victim = await trial.world.add("worker", wait=True, **HOLDING)
    victim.edges["fleet"].slow(SLOW_SECONDS)
    async with trial.load(ORDERS, RATE, ending="deliver", drivers=crew, centre=FAR) as load:
        held, at = await _in_flight(trial, load)
        await victim.kill()
        await eventually(lambda: _all_moved(trial, held), within=60, every=0.1)
        await trial.dismiss([victim])
    trial.check(len(held) >= HELD_MIN, f"only {len(held)} orders were in flight in {victim.name}")
    async with trial.world.connection() as connection:
        rows = await (await connection.execute(DISPATCHED, [at, held])).fetchall()
    waits = {str(order): float(seconds) for order, seconds in rows}
    trial.check(waits.keys() == set(held), f"not dispatched: {sorted(set(held) - waits.keys())[:5]}")
    return list(waits.values())


async def _in_flight(trial: Trial, load: Load) -> tuple[list[str], datetime]:
    """The orders in flight in the slow worker, once they are enough, and the time of the database."""
    until = time.monotonic() + 10
    while True:
        async with trial.world.connection() as connection:
            rows = await (await connection.execute(HELD, [load.ids, HELD_SECONDS])).fetchall()
        if len(rows) >= HELD_MIN or time.monotonic() > until:
            assert rows, "no order is in flight in the slow worker"
            return [str(order) for order, _ in rows], rows[0][1]
        await asyncio.sleep(0.05)


async def _all_moved(trial: Trial, ids: list[str]) -> bool:
    async with trial.world.connection() as connection:
        query = "select count(*) from orders where id = any(%s) and status = 'PENDING'"
        row = await (await connection.execute(query, [ids])).fetchone()
    return row == (0,)


@dataclass
class Deaths:
    count: int = 0


@fault(
    "F22",
    "a message that kills every worker that begins to handle it",
    in_ci=True,
    any_broker=True,
    nemesis=False,
)
async def killing_message(trial: Trial) -> None:
    usual = trial.world.of("worker")
    mortal = [await trial.world.add("worker", wait=False, PYTHONPATH=KILLED) for _ in usual]
    await asyncio.gather(*(member.ready() for member in mortal))
    for member in usual:
        await member.stop()
    order_id = f"{trial.seed}-kills"
    async with _restarted(mortal) as deaths, trial.load(orders=60, rate=4, ending="deliver", heal=False):
        body = {"id": order_id, "price": 10.0, "tax": 0.0, "pickup": {"lat": CENTRE.lat, "lng": CENTRE.lng}}
        await trial.stage.client.act("create", order_id, body=body)
        await eventually(lambda: _has_crash_loop(trial, order_id), within=PARKED_SECONDS, every=0.2)
    trial.note(f"{deaths.count} workers died before it was parked")
    async with trial.world.connection() as connection:
        query = "select count(*) from outbox where aggregate_id = %s and event_type = any(%s)"
        types = ["orders.created", "orders.dispatch_requested"]
        row = await (await connection.execute(query, [order_id, types])).fetchone()
        innocent = await (await connection.execute(PARKED_OTHERS, [f"{trial.seed}%", order_id])).fetchall()
    deaths_max = (DELIVERY_LIMIT + 1) * (row or (1,))[0]
    trial.check(deaths.count <= deaths_max, f"{deaths.count} workers died, more than {deaths_max}")
    trial.check(not innocent, f"parked beside it: {innocent[:5]}")
    for member in mortal:
        await trial.world.remove(member)
    await trial.world.heal()


PARKED_OTHERS = """
    select headers->>'x-aggregate-id', cause from parked
    where headers->>'x-aggregate-id' like %s and headers->>'x-aggregate-id' <> %s
"""


@asynccontextmanager
async def _restarted(members: list[Member]) -> AsyncGenerator[Deaths]:
    """Whatever dies is started again, as a supervisor does it."""
    deaths = Deaths()

    async def restart(member: Member) -> None:
        while True:
            if not member.alive:
                deaths.count += 1
                member.launch()
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(restart(member)) for member in members]
    try:
        yield deaths
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _has_crash_loop(trial: Trial, order_id: str) -> bool:
    async with trial.world.connection() as connection:
        query = "select 1 from parked where headers->>'x-aggregate-id' = %s and cause = 'crash-loop'"
        return await (await connection.execute(query, [order_id])).fetchone() is not None
