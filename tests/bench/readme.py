"""The report in the README: what must be and what is, the picture, and every figure for who unfolds them."""

from __future__ import annotations

from pathlib import Path

from tests.bench.plot import draw
from tests.bench.report import Report

ROOT = Path(__file__).parents[2]
PICTURE = Path("tests/bench/report.svg")
BEGIN, END = "<!-- bench: written by `just bench --readme` -->", "<!-- bench: end -->"


def write_into_readme(report: Report, root: Path = ROOT) -> None:
    """Between its two marks, and the picture beside the bench; ValueError if a mark is missing."""
    readme = root / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{readme} has no {BEGIN} ... {END}")
    draw(report, root / PICTURE)
    readme.write_text(f"{before}{BEGIN}\n\n{_section(report)}\n{END}{after}", encoding="utf-8")


def _section(report: Report) -> str:
    return "\n".join(
        [
            report.aims(),
            f"![How much of its ceiling each thing reaches, and how far each aim is met]({PICTURE})\n",
            "<details><summary>Every figure, and the machine</summary>\n",
            report.details(),
            "</details>\n",
        ]
    )
