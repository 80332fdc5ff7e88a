"""Measure GoFleet on this machine. Exit codes: 0 as promised, 1 not, 2 wrong call."""

from __future__ import annotations

import argparse
import sys

from tests.bench import pages, tracing

ROUNDS = {"pages": 300, "tracing": 15}


def main() -> int:
    parser = argparse.ArgumentParser(prog="just bench", description=__doc__)
    parser.add_argument("case", choices=ROUNDS, help="what to measure")
    parser.add_argument("--rounds", type=int, help="how often each is measured, in turn")
    given = parser.parse_args()
    rounds = given.rounds or ROUNDS[given.case]
    if given.case == "pages":
        found = pages.measured(rounds)
        kept = found.ratio < pages.MOST
    else:
        found = tracing.measured(rounds)
        kept = found.right
    print(found)  # noqa: T201
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
