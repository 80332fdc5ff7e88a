"""`python -m tests.model`: run the models and print what was found. Exit code 1 if anything came out otherwise."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.model.checker import Result, TooManyStates
from tests.model.runs import LARGE, MUTANTS, NOT_LOAD_BEARING, SEED, SMALL, Run

GROUPS: dict[str, Sequence[Run]] = {
    "small": SMALL,
    "large": LARGE,
    "mutants": MUTANTS,
    "unneeded": NOT_LOAD_BEARING,
    "seed": SEED,
}
TITLES = {
    "small": "our protocol, small budgets",
    "large": "our protocol, large budgets",
    "mutants": "a guard taken away",
    "unneeded": "a guard taken away, and nothing lost",
    "seed": "the protocol it replaced",
}


def main() -> int:
    arguments = _parser().parse_args()
    groups = ["small", "mutants", "unneeded", "seed"] if arguments.budget == "small" else list(GROUPS)
    wrong = 0
    for group in arguments.only or groups:
        _say(f"\n{TITLES[group]}")
        for run in GROUPS[group]:
            wrong += not _shown(run, arguments.states_max, traces=arguments.traces)
    _say(f"\n{wrong} came out otherwise than they should" if wrong else "\nall as they should be")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description="Check the protocol exhaustively.")
    parser.add_argument(
        "--budget", choices=("small", "large"), default="small", help="how many faults (large: minutes)"
    )
    parser.add_argument("--only", choices=tuple(GROUPS), action="append", help="these groups alone")
    parser.add_argument("--traces", action="store_true", help="the steps of each counterexample")
    parser.add_argument("--states-max", type=int, default=6_000_000, help="give up beyond, about 1 GB a million")
    return parser


def _shown(run: Run, states_max: int, *, traces: bool) -> bool:
    """Print a line for the run; whether it came out as it should."""
    try:
        result = run(states_max)
    except TooManyStates as error:
        _say(f"  ?         {run.name}: {error}")
        return False
    right = (result.verdict, result.what) == (run.verdict, run.what)
    _say(_line(run, result) + ("" if right else f"   BUT SHOULD BE {run.verdict} {run.what}"))
    if traces:
        for number, label in enumerate(result.trace, 1):
            _say(f"      {number:2}. {label}")
    return right


def _line(run: Run, result: Result) -> str:
    steps = f" in {len(result.trace)} steps: {result.what}" if result.trace else ""
    size = f"{result.states:>10,} states {result.transitions:>11,} transitions {result.seconds:6.1f} s"
    return f"  {result.verdict:<9}{size}   {run.name}{steps}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
