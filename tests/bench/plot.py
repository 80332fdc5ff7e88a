"""The run in one picture: how much of its ceiling each thing reaches, and how far each aim is met."""

# pyright: reportUnknownMemberType=false
# matplotlib's own types leave open what its keywords are.

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tests.bench.figures import Aim, Figure
from tests.bench.report import Report

KEPT, MISSED, PLAIN = "#2a7f62", "#b3412e", "#3b5b92"
INCHES_PER_BAR = 0.28


def draw(report: Report, path: Path) -> None:
    """As SVG."""
    below = [(figure, ceiling) for figure in report.figures if (ceiling := report.ceiling(figure))]
    aimed = [(figure, figure.aim) for figure in report.figures if figure.aim]
    rows = max(len(below), len(aimed), 4)
    mpl.rcParams["svg.hashsalt"] = "gofleet"  # the same run, the same file
    figure, (left, right) = plt.subplots(1, 2, figsize=(15, 1.6 + INCHES_PER_BAR * rows), layout="constrained")
    _ceilings(left, below)
    _aims(right, aimed)
    figure.suptitle(f"GoFleet on {report.machine.get('processors', 'this machine')}", fontsize=11)
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)


def _ceilings(axes: Axes, below: list[tuple[Figure, Figure]]) -> None:
    """A bar from nought to the median, a whisker from the lowest repetition to the highest."""
    parts = [figure.median / ceiling.median for figure, ceiling in below]
    errors = [
        [(figure.median - min(figure.values)) / ceiling.median for figure, ceiling in below],
        [(max(figure.values) - figure.median) / ceiling.median for figure, ceiling in below],
    ]
    _bars(axes, [figure for figure, _ in below], parts, [PLAIN] * len(below))
    if below:
        axes.errorbar(parts, range(len(below)), xerr=errors, fmt="none", ecolor="black", elinewidth=0.8, capsize=2)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_title("in parts of the bare client's figure in the same run", fontsize=9)


def _aims(axes: Axes, aimed: list[tuple[Figure, Aim]]) -> None:
    reached = [_reached(figure, aim) for figure, aim in aimed]
    colours = [KEPT if figure.kept else MISSED for figure, _ in aimed]
    _bars(axes, [figure for figure, _ in aimed], reached, colours)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_title("times as good as it must be", fontsize=9)


def _reached(figure: Figure, aim: Aim) -> float:
    """How many times as good as it must be, at most 10; an aim of nought is met or not."""
    if aim.least:
        found = figure.median / aim.least
    elif aim.most and figure.median:
        found = aim.most / figure.median
    else:
        found = 1.0 if figure.kept else 0.0
    return min(found, 10.0)


def _bars(axes: Axes, figures: list[Figure], values: list[float], colours: list[str]) -> None:
    axes.barh(range(len(values)), values, color=colours)
    axes.set_yticks(range(len(values)), [f"{figure.case}: {figure.name}" for figure in figures], fontsize=7)
    axes.invert_yaxis()
    for place, value in enumerate(values):
        axes.text(value, place, f" {value:.2f}", va="center", fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)
