"""Trials one after the other, on as few worlds as honesty allows."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from tests.chaos import faults  # noqa: F401  # pyright: ignore[reportUnusedImport]  registers them
from tests.chaos.nemesis import rounds
from tests.chaos.rig import a_world
from tests.chaos.servers import all_servers
from tests.chaos.trial import Fault, Outcome, a_stage, tried


async def all_tried(
    chosen: Sequence[Fault], seed: int, place: Path, runs: int, *, rounds: int = 1, broker: str = "rabbitmq"
) -> AsyncGenerator[Outcome]:
    """Each fault `runs` times. What is broken stays broken, so after a violation the next one gets a new world; the
    old one's logs, ledger and tap are kept."""
    _hush()
    left = [fault for fault in chosen for _ in range(runs)]
    async with all_servers() as servers:
        worlds = count = 0
        while left:
            worlds += 1
            here, broken = place / f"world-{worlds}", False
            async with a_world(servers, here, broker=broker) as world, a_stage(world, rounds=rounds) as stage:
                while left and not broken:
                    fault = left.pop(0)
                    say(f"{fault.name} {fault.about} ...")
                    outcome = await tried(stage, fault, seed + count)
                    count += 1
                    tell(outcome)
                    yield outcome
                    broken = bool(outcome.violations)
            if broken:
                say(f"    logs, ledger and tap: {here}")
            else:
                shutil.rmtree(here, ignore_errors=True)


async def nemesis_tried(seed: int, place: Path, minutes: float) -> AsyncGenerator[Outcome]:
    """The randomized scheduler on one world; it ends early at a violation."""
    _hush()
    async with all_servers() as servers, a_world(servers, place / "world-1") as world, a_stage(world) as stage:
        async for outcome in rounds(stage, seed, minutes):
            tell(outcome)
            yield outcome


def _hush() -> None:
    """The tap loses its connection as often as other clients; its log of that is dropped."""
    for name in ("aiormq", "aio_pika", "httpx"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def tell(outcome: Outcome) -> None:
    end = "BROKEN" if outcome.violations else "kept"
    say(f"  {end}: {outcome.orders} orders, {outcome.seconds:g} s, {outcome.seed}")
    for line in (*outcome.notes, *outcome.violations):
        say(f"    {line}")
