"""Measure GoFleet on this machine. Exit codes: 0 as promised, 1 not, 2 wrong call."""

from __future__ import annotations

import argparse
import sys

from tests.bench import pages


def main() -> int:
    parser = argparse.ArgumentParser(prog="just bench", description=__doc__)
    parser.add_argument("case", choices=["pages"], help="what to measure")
    parser.add_argument("--rounds", type=int, default=300, help="how often each is measured, in turn")
    given = parser.parse_args()
    found = pages.measured(given.rounds)
    print(found)  # noqa: T201
    return int(found.ratio >= pages.MOST)


if __name__ == "__main__":
    sys.exit(main())
