"""F21: everything is restarted in order, again and again, and no customer may notice."""

from __future__ import annotations

import asyncio

import httpx

from tests.chaos.client import Client
from tests.chaos.member import Member
from tests.chaos.trial import Trial, fault

ROUNDS = 5
LEAVE_ROTATION_SECONDS = 0.3


@fault("F21", "five rolling restarts of every role under load", nemesis=False)
async def rolling_restart(trial: Trial) -> None:
    world = trial.world
    members = world.of("api", "relay", "worker", "fleet")
    spare = await world.add("fleet")  # as a deployment does it: the new one is there before the old one goes
    limits = httpx.Limits(max_keepalive_connections=0, max_connections=200)
    async with httpx.AsyncClient(trust_env=False, limits=limits) as http:
        customer = Client(http, lambda: world.addresses(direct=True), world.ledger)
        done = asyncio.Event()
        codes: list[tuple[str, int | None]] = []

        async def restart_all() -> None:
            for _ in range(ROUNDS):
                for member in members:
                    codes.append((member.name, await _restarted(member)))
            done.set()

        rolling = asyncio.create_task(restart_all())
        while not done.is_set() and not rolling.done():
            async with trial.load(orders=40, rate=6, client=customer, heal=False):
                pass
        await rolling
        trial.check(not customer.failures, f"{len(customer.failures)} requests failed: {customer.failures[:3]}")
    await world.remove(spare)
    bad = [(name, code) for name, code in codes if code != 0]
    trial.check(not bad, f"exit codes {bad}")
    trial.note(f"{len(codes)} restarts")
    doubled = await _handled_twice(trial)
    trial.check(doubled == 0, f"{doubled} events were applied twice")


async def _restarted(member: Member) -> int | None:
    """Out of the load balancer's rotation, SIGTERM, and a new process in its place."""
    member.in_rotation = False
    await asyncio.sleep(LEAVE_ROTATION_SECONDS)
    code = await member.stop()
    await member.start()
    return code


async def _handled_twice(trial: Trial) -> int:
    """Moves to DISPATCHED beyond one for each time that the order waited."""
    async with trial.world.connection() as connection:
        found = await connection.execute(
            """select count(*) from (
                   select order_id from order_log group by order_id
                   having count(*) filter (where became = 'DISPATCHED' and was <> became)
                       > count(*) filter (where became = 'PENDING' and was is distinct from became)
               ) as doubled"""
        )
        row = await found.fetchone()
    return int(row[0]) if row else 0
