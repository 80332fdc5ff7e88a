"""F5: the fleet role dies, freezes, is slow, or talks nonsense."""

from __future__ import annotations

import asyncio
import signal

import httpx

from tests.chaos.member import Member
from tests.chaos.trial import Trial, fault
from tests.waiting import eventually

AWAY_SECONDS = 5.0
SLOW_SECONDS = 3.0


@fault("F5", "fleet killed, frozen, 3 s slow, talking nonsense, killed at its own points")
async def fleet_away(trial: Trial) -> None:
    for harm in (_killed, _frozen, _slow, _nonsense):
        async with trial.load(orders=40, rate=8):
            await asyncio.sleep(1)
            await harm(trial)
            await trial.world.heal()
        if trial.background is None:
            await _breakers_close(trial, harm.__name__.lstrip("_"))
    # The breaker is for failures, not for an empty neighbourhood.
    async with trial.load(orders=25, rate=25, ending="nobody"):
        pass
    states = [await breaker_state(member) for member in trial.world.of("worker")]
    trial.check(trial.background is not None or 1 not in states, f"an empty search opened a breaker: {states}")
    for point in ("fleet.after_claim", "fleet.after_follow"):
        armed = await trial.armed("fleet", f"{point}=kill@2")
        async with trial.load(orders=30):
            for edge in trial.world.edges("fleet", "worker"):
                edge.divert([armed[0].port])  # their connections are old ones, which lead elsewhere
            await trial.all_hit(armed)
        trial.check_all_hit(armed)
        await trial.dismiss(armed)


async def _killed(trial: Trial) -> None:
    for member in trial.world.of("fleet"):
        await member.kill()
    await asyncio.sleep(AWAY_SECONDS)


async def _frozen(trial: Trial) -> None:
    for member in trial.world.of("fleet"):
        member.send_signal(signal.SIGSTOP)
    await asyncio.sleep(AWAY_SECONDS)
    if trial.background is None:
        states = [await breaker_state(member) for member in trial.world.of("worker")]
        trial.check(any(states), f"a frozen fleet opened no breaker: {states}")


async def _slow(trial: Trial) -> None:
    for edge in trial.world.edges("fleet", "worker", "api"):
        edge.slow(SLOW_SECONDS)
    await asyncio.sleep(AWAY_SECONDS)


async def _nonsense(trial: Trial) -> None:
    """Another program listens where the fleet was: every answer is bytes that mean nothing."""
    edges = trial.world.edges("fleet", "worker")

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(trial.dice.randbytes(300))
        await asyncio.sleep(0.2)
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1")
    port = int(server.sockets[0].getsockname()[1])
    for edge in edges:
        edge.divert([port])
    await asyncio.sleep(AWAY_SECONDS)
    for edge in edges:
        await edge.heal()
    server.close()


async def _breakers_close(trial: Trial, after: str) -> None:
    """With work to probe with, every breaker must close again."""
    async with trial.load(orders=20, rate=10):
        pass

    async def closed() -> bool:
        return not any([await breaker_state(member) == 1 for member in trial.world.of("worker")])

    try:
        await eventually(closed, within=15, every=0.5)
    except AssertionError:
        trial.check(False, f"a breaker is still open after {after}")


async def breaker_state(member: Member) -> int:
    """0 closed, 1 open, 2 half open."""
    return int(await metric(member, "gofleet_breaker_state") or 0)


async def metric(member: Member, name: str) -> float | None:
    """The first sample whose line begins with `name`."""
    assert member.running is not None
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{member.running.metrics_port}/metrics")).text
    samples = (line for line in text.splitlines() if line.startswith(name))
    return next((float(line.split()[-1]) for line in samples), None)
