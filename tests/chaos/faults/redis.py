"""F7: Redis dies, forgets, freezes."""

from __future__ import annotations

import asyncio
import os
import signal

from gofleet.adapters.redis.connection import redis_client
from tests.chaos.faults.fleet import metric
from tests.chaos.member import Member
from tests.chaos.trial import Trial, fault

AWAY_SECONDS = 6.0
RETRIES_PER_SECOND_MAX = 10.0


@fault("F7", "Redis: killed for 6 s and empty, flushed every 200 ms, frozen for 6 s")
async def redis_away(trial: Trial) -> None:
    server = trial.world.servers.redis
    async with trial.load(orders=40, rate=8):
        await asyncio.sleep(1)
        before = await _postponed(trial)
        server.kill()
        await asyncio.sleep(AWAY_SECONDS)
        rate = (await _postponed(trial) - before) / AWAY_SECONDS
        trial.note(f"{rate:.1f} messages a second were retried while Redis was unavailable")
        trial.check(rate < RETRIES_PER_SECOND_MAX, f"a hot loop: {rate:.1f} messages a second without Redis")
        await server.start()
    async with trial.load(orders=60, rate=12):
        for _ in range(25):
            await flush(trial)
            await asyncio.sleep(0.2)
    async with trial.load(orders=40, rate=8):
        await asyncio.sleep(1)
        os.kill(server.pids[0], signal.SIGSTOP)
        await asyncio.sleep(AWAY_SECONDS)
        os.kill(server.pids[0], signal.SIGCONT)
    for member in trial.world.of("worker", "fleet"):
        trial.check(member.alive, f"{member.name} ended because Redis was unavailable")


async def flush(trial: Trial) -> None:
    at = trial.world.servers.redis.address
    async with redis_client(at.host, at.port, password=at.password, timeout_seconds=5) as redis:
        await redis.flushall()  # pyright: ignore[reportUnknownMemberType]


async def _postponed(trial: Trial) -> float:
    return sum([await _later(member) for member in trial.world.of("worker")])


async def _later(member: Member) -> float:
    return await metric(member, 'gofleet_messages_handled_total{queue="orders.created",verdict="later"}') or 0.0
