"""Every fault in an order that only the seed knows, under load that never stops, judged every round."""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import AsyncGenerator

from tests.chaos.load import Load
from tests.chaos.trial import FAULTS, Fault, Outcome, Stage, Trial, judged

ROUND_SECONDS = 90.0
RATE = 4.0
PAUSE_SECONDS = 3.0
NAME, ABOUT = "nemesis", "any of them in random order, load all the while"


async def rounds(stage: Stage, seed: int, minutes: float) -> AsyncGenerator[Outcome]:
    """One outcome for each round; a new round only after one that kept every promise."""
    until, number = time.monotonic() + 60 * minutes, 0
    dice = random.Random(seed)  # noqa: S311
    while time.monotonic() < until:
        number += 1
        outcome = await _round(stage, dice, f"nemesis-{seed}-{number}", until)
        yield outcome
        if outcome.violations:
            return


async def _round(stage: Stage, dice: random.Random, label: str, until: float) -> Outcome:
    started = time.monotonic()
    end = min(started + ROUND_SECONDS, until)
    over = asyncio.Event()
    load = Load(stage.client, label, 0, RATE, stage.crew, over=over)
    trial = Trial(NAME, stage, dice, label, background=load)
    running = asyncio.create_task(load.run())
    try:
        while time.monotonic() < end:
            chosen = dice.choice([fault for fault in FAULTS.values() if fault.nemesis])
            await _harm(trial, chosen)
            await asyncio.sleep(dice.uniform(0, PAUSE_SECONDS))
        over.set()
        await running
    finally:
        running.cancel()
        await asyncio.wait({running})
    found = [*trial.complaints, *load.complaints, *await judged(stage.world, trial.notes)]
    if found:
        await stage.world.dump()
    return Outcome(NAME, ABOUT, label, len(load.ids), found, trial.notes, round(time.monotonic() - started, 1))


async def _harm(trial: Trial, chosen: Fault) -> None:
    trial.note(f"{chosen.name} {chosen.about}")
    try:
        await chosen.act(trial)
    except Exception:
        trial.complaints.append(f"{chosen.name} itself failed:\n{traceback.format_exc()}")
    await trial.world.heal()
