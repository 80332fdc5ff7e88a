"""`python -m tests.chaos [F5 F6 ...|ci|all|nemesis]`: do harm and see whether every promise is kept.

Exit codes: 0 all kept, 1 a violation, 2 wrong call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.chaos import faults  # noqa: F401  # pyright: ignore[reportUnusedImport]  registers them
from tests.chaos.report import table
from tests.chaos.rig import a_world
from tests.chaos.servers import all_servers
from tests.chaos.trial import FAULTS, Fault, Outcome, a_stage, tried


def main() -> int:
    given = _arguments()
    seed = given.seed if given.seed is not None else random.randrange(10_000)  # noqa: S311
    place = Path(tempfile.mkdtemp(prefix="gofleet-chaos-"))
    say(f"seed {seed}, in {place}")
    outcomes = asyncio.run(_all_tried(_chosen(given.faults), seed, place, runs=given.runs))
    print(json.dumps([asdict(outcome) for outcome in outcomes]) if given.json else table(outcomes))  # noqa: T201
    broken = any(outcome.violations for outcome in outcomes)
    if broken:
        say(f"logs, ledger and tap are in {place}")
    return int(broken)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just chaos", description=__doc__)
    parser.add_argument("faults", nargs="*", default=["ci"], help=f"{', '.join(FAULTS)}, ci, all or nemesis")
    parser.add_argument("--seed", type=int, help="what decides every choice; it is printed")
    parser.add_argument("--runs", type=int, default=1, help="how often each fault is tried")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")
    return parser.parse_args()


def _chosen(names: Sequence[str]) -> list[Fault]:
    chosen: list[Fault] = []
    for name in names:
        if name in ("ci", "all"):
            chosen += [fault for fault in FAULTS.values() if fault.in_ci or name == "all"]
        elif name.upper() in FAULTS:
            chosen.append(FAULTS[name.upper()])
        else:
            say(f"no fault is called {name}: {', '.join(FAULTS)}, ci, all or nemesis")
            sys.exit(2)
    return chosen


async def _all_tried(chosen: Sequence[Fault], seed: int, place: Path, *, runs: int) -> list[Outcome]:
    outcomes: list[Outcome] = []
    left = [fault for fault in chosen for _ in range(runs)]
    async with all_servers() as servers:
        worlds = 0
        while left:
            worlds += 1
            async with a_world(servers, place / f"world-{worlds}") as world, a_stage(world) as stage:
                while left:
                    fault = left.pop(0)
                    say(f"{fault.name} {fault.about} ...")
                    outcome = await tried(stage, fault, seed + len(outcomes))
                    outcomes.append(outcome)
                    _tell(outcome)
                    if outcome.violations or fault.own_world:
                        break  # what is broken stays broken: the next one gets a new world
    return outcomes


def _tell(outcome: Outcome) -> None:
    end = "kept" if not outcome.violations else "BROKEN"
    say(f"  {end}: {outcome.orders} orders, {outcome.seconds:g} s, {outcome.seed}")
    for line in (*outcome.notes, *outcome.violations):
        say(f"    {line}")


sys.exit(main())
