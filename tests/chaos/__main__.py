"""Do harm to a running GoFleet and see whether every promise is kept.

Exit codes: 0 all kept, 1 a violation, 2 wrong call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.chaos.report import table, write_into_page
from tests.chaos.run import all_tried, nemesis_tried, say
from tests.chaos.trial import FAULTS, Fault, Outcome


def main() -> int:
    given = _arguments()
    seed = given.seed if given.seed is not None else random.randrange(10_000)  # noqa: S311
    place = Path(tempfile.mkdtemp(prefix="gofleet-chaos-"))
    say(f"seed {seed}, in {place}")
    if given.faults == ["nemesis"]:
        trials = nemesis_tried(seed, place, given.minutes)
    else:
        trials = all_tried(
            _chosen(given.faults, given.broker), seed, place, given.runs, rounds=given.rounds, broker=given.broker
        )
    outcomes = asyncio.run(_gathered(trials))
    print(json.dumps([asdict(outcome) for outcome in outcomes]) if given.json else table(outcomes))  # noqa: T201
    if given.readme:
        write_into_page(outcomes)
    return int(any(outcome.violations for outcome in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just chaos", description=__doc__)
    parser.add_argument("faults", nargs="*", default=["ci"], help=f"{', '.join(FAULTS)}; ci (default), all or nemesis")
    parser.add_argument("--seed", type=int, help="what decides every choice; it is printed")
    parser.add_argument("--runs", type=int, default=1, help="how often each fault is tried")
    parser.add_argument("--rounds", type=int, default=1, help="how many workers F3 kills with orders in flight")
    parser.add_argument("--broker", choices=("rabbitmq", "redis"), default="rabbitmq", help="redis: F3 and F22 only")
    parser.add_argument("--minutes", type=float, default=10.0, help="duration of the nemesis")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")
    parser.add_argument("--readme", action="store_true", help="write the table into the page")
    return parser.parse_args()


def _chosen(names: Sequence[str], broker: str) -> list[Fault]:
    chosen: list[Fault] = []
    for name in names:
        if name in ("ci", "all"):
            chosen += [fault for fault in FAULTS.values() if fault.in_ci or name == "all"]
        elif name.upper() in FAULTS:
            chosen.append(FAULTS[name.upper()])
        else:
            say(f"no fault is called {name}: {', '.join(FAULTS)}, ci, all or nemesis")
            sys.exit(2)
    if broker == "redis":
        chosen = [fault for fault in chosen if fault.any_broker]
    return sorted(chosen, key=lambda fault: int(fault.name.removeprefix("F")))


async def _gathered(trials: AsyncGenerator[Outcome]) -> list[Outcome]:
    return [outcome async for outcome in trials]


if __name__ == "__main__":
    sys.exit(main())
