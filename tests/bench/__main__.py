"""Measure GoFleet on this machine, beside what its database, its broker and its peers can do. Exit codes: 0 every aim
kept (`--smoke`: everything correct), 1 not, 2 wrong call."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.report import Report
    from tests.bench.servers import Bench

CASES = (
    *("ingest", "latency", "alone", "throughput", "drain", "search", "positions"),
    *("backpressure", "growth", "startup", "tracing", "guarded", "pages"),
)
"""Each a module with `async def measure(at: Bench) -> list[Figure]`; all of them without any named."""
SMOKE = ("ingest", "throughput", "drain", "backpressure")
"""What `--smoke` asks for then: by few processes, most of what the others do, too."""


def main(words: Sequence[str] | None = None) -> int:
    given = _given(words)
    # Here, because every process of the generator reads this module, and needs none of these.
    from tests.bench.machine import described  # noqa: PLC0415
    from tests.bench.plot import draw  # noqa: PLC0415
    from tests.bench.readme import write_into_pages  # noqa: PLC0415
    from tests.bench.report import Report, summary  # noqa: PLC0415
    from tests.bench.servers import Bench, serving  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="gofleet-bench-") as place, serving(Path(place), given.smoke) as servers:
        bench = Bench(servers, given.repetitions, given.smoke)
        report = Report(described(servers), len(bench.rounds))
        asyncio.run(_measured(bench, given.cases, report))
    if given.readme:
        write_into_pages(report)
    report.write(given.out)
    draw(report, given.out / "report.svg")
    print(report.markdown())  # noqa: T201
    bench.say(f"{summary(report.figures)}; report.md, report.json and report.svg are in {given.out}")
    return int(bool(report.failures or (report.missed and not given.smoke)))


def _given(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just bench", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"one of {', '.join(CASES)}; all without any")
    parser.add_argument("--repetitions", type=int, default=3, help="of each thing, in alternating order (default 3)")
    parser.add_argument("--smoke", action="store_true", help="seconds of each: whether it is right, not how fast")
    parser.add_argument("--out", type=Path, default=Path("dist/bench"), help="where the report goes (dist/bench)")
    parser.add_argument("--readme", action="store_true", help="write the report into the pages")
    given = parser.parse_args(words)
    if unknown := [case for case in given.cases if case not in CASES]:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    if given.repetitions < 1:
        parser.error("--repetitions must be at least 1")
    given.cases = given.cases or (SMOKE if given.smoke else CASES)
    return given


async def _measured(bench: Bench, cases: Sequence[str], report: Report) -> None:
    """A failed case is reported, and the next ones are still measured."""
    for case in cases:
        bench.say(f"{case} ...")
        began = time.monotonic()
        try:
            report.figures += await importlib.import_module(f"tests.bench.{case}").measure(bench)
        except Exception as error:  # whatever it was, the other cases are worth having
            traceback.print_exc()
            report.failures[case] = f"{type(error).__name__}: {error}"
        report.seconds[case] = time.monotonic() - began
        bench.say(f"{case}: {report.failures.get(case, 'done')} in {report.seconds[case]:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
