"""The report of a run, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.figures import Figure

VERDICTS = {None: "", True: "met", False: "**missed**"}


@dataclass
class Report:
    """`machine`: on what; `seconds`: how long each case took; `failures`: why a case has no figures."""

    machine: dict[str, str]
    repetitions: int
    figures: list[Figure] = field(default_factory=list[Figure])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    failures: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def missed(self) -> list[Figure]:
        return [figure for figure in self.figures if figure.kept is False]

    def of(self, case: str) -> list[Figure]:
        return [figure for figure in self.figures if figure.case == case]

    def ceiling(self, figure: Figure) -> Figure | None:
        """KeyError if it names a figure that its case does not have."""
        if figure.ceiling is None:
            return None
        return {other.name: other for other in self.of(figure.case)}[figure.ceiling]

    def markdown(self) -> str:
        return f"{self.aims()}\n{self.details()}"

    def aims(self) -> str:
        """What must be, what is, and whether that is enough."""
        return "\n".join(self._aims()) + "\n"

    def details(self) -> str:
        """Every figure of every case, and on what machine."""
        return "\n".join([*self._cases(), *self._machine()]) + "\n"

    def json(self) -> str:
        return json.dumps(
            {
                "machine": self.machine,
                "repetitions": self.repetitions,
                "seconds": {case: round(took, 1) for case, took in self.seconds.items()},
                "failures": self.failures,
                "figures": [self._entry(figure) for figure in self.figures],
            },
            indent=2,
        )

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "report.md").write_text(self.markdown())
        (directory / "report.json").write_text(self.json() + "\n")

    def _aims(self) -> Iterator[str]:
        aimed = [figure for figure in self.figures if figure.aim]
        if not aimed:
            return
        yield from ("| case | measured | target | result | |", "| --- | --- | --- | --- | --- |")
        for figure in aimed:
            says = figure.aim.says if figure.aim else ""
            found = f"{_number(figure.median)} {_unit(figure)}".rstrip()
            yield _line(figure.case, figure.name, says, found, VERDICTS[figure.kept])

    def _cases(self) -> Iterator[str]:
        for case, took in self.seconds.items():
            yield f"**{case}** ({took:.0f} s)\n"
            if case in self.failures:
                yield f"**Failed**: {self.failures[case]}\n"
            if figures := self.of(case):
                yield from ("| measured | median | unit | spread | of its ceiling |", "| --- | --- | --- | --- | --- |")
                yield from (self._row(figure) for figure in figures)
                yield ""

    def _row(self, figure: Figure) -> str:
        ceiling = self.ceiling(figure)
        part = f"{figure.median / ceiling.median:.2f}" if ceiling and ceiling.median else ""
        return _line(figure.name, _number(figure.median), figure.unit, f"{figure.spread:.0%}", part)

    def _machine(self) -> Iterator[str]:
        yield f"Medians of {self.repetitions} repetitions in alternating order; spread: from lowest to highest.\n"
        yield from (f"- {name}: {value}" for name, value in self.machine.items())

    def _entry(self, figure: Figure) -> dict[str, object]:
        ceiling = self.ceiling(figure)
        return {
            "case": figure.case,
            "name": figure.name,
            "unit": figure.unit,
            "better": figure.better,
            "median": figure.median,
            "spread": figure.spread,
            "values": figure.values,
            "ceiling": figure.ceiling,
            "of_ceiling": figure.median / ceiling.median if ceiling and ceiling.median else None,
            "aim": figure.aim and figure.aim.says,
            "kept": figure.kept,
        }


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _unit(figure: Figure) -> str:
    return "" if figure.unit == "ratio" else figure.unit


def _number(value: float) -> str:
    """Three digits that matter, whatever the size."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def summary(figures: Sequence[Figure]) -> str:
    """In one line: how many aims there were, and which were missed."""
    aimed = [figure for figure in figures if figure.aim]
    missed = [f"{figure.case}: {figure.name}" for figure in aimed if figure.kept is False]
    kept = f"{len(aimed) - len(missed)} of {len(aimed)} targets met"
    return f"{kept}; missed: {'; '.join(missed)}" if missed else kept
