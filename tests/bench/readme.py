"""Writes a report into the pages: all of it into tests/bench/README.md, the headline rows into README.md."""

from __future__ import annotations

from pathlib import Path

from tests.bench.plot import draw
from tests.bench.report import Report

ROOT = Path(__file__).parents[2]
REPORT_PAGE, FRONT_PAGE = Path("tests/bench/README.md"), Path("README.md")
PICTURE = Path("tests/bench/report.svg")
BEGIN, END = "<!-- bench: written by `just bench --readme` -->", "<!-- bench: end -->"
HEADLINES_BEGIN, HEADLINES_END = "<!-- headlines: written by `just bench --readme` -->", "<!-- headlines: end -->"
HEADLINES = (
    ("ingest", "one api, of pgbench"),
    ("ingest", "one api, of the peer"),
    ("latency", "create to dispatched at 50 orders/s p99, of bare libraries at 50 orders/s p99"),
    ("alone", "CPU of an order at 50 orders/s, of bare libraries'"),
    ("throughput", "created, dispatched, delivered"),
    ("drain", "relay, backlog of 100,000"),
    ("backpressure", "all answers, p95"),
)
"""Case and name of each figure that the README shows."""
MACHINE = ("processors", "speed")
"""What the README says of the machine."""


def write_into_pages(report: Report, root: Path = ROOT) -> None:
    """Replaces what is between the marks of both pages, and draws the picture; ValueError if a mark is missing."""
    section = _section(report)
    full = _replaced(root / REPORT_PAGE, BEGIN, END, section)
    front = _replaced(root / FRONT_PAGE, HEADLINES_BEGIN, HEADLINES_END, headlines(section))
    draw(report, root / PICTURE)
    (root / REPORT_PAGE).write_text(full, encoding="utf-8")
    (root / FRONT_PAGE).write_text(front, encoding="utf-8")


def headlines(section: str) -> str:
    """The rows of the README with the head of their table, and the machine, taken from the section of the report."""
    lines = section.splitlines()
    wanted = tuple(f"| {case} | {name} |" for case, name in HEADLINES)
    machine = [line for line in lines if line.startswith(tuple(f"- {what}: " for what in MACHINE))]
    return "\n".join([*lines[:2], *(line for line in lines if line.startswith(wanted)), "", *machine]) + "\n"


def _replaced(page: Path, begin: str, end: str, text: str) -> str:
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no {begin} ... {end}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def _section(report: Report) -> str:
    return "\n".join(
        [
            report.aims(),
            f"![Each figure relative to its ceiling, and each target]({PICTURE.name})\n",
            "<details><summary>Every figure, and the machine</summary>\n",
            report.details(),
            "</details>\n",
        ]
    )
