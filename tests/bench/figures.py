"""What was measured: figures of several repetitions, their ceilings, and what they must be."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Aim:
    """What a figure's median must be, in words and in its unit; both bounds are allowed values."""

    says: str
    least: float | None = None
    most: float | None = None

    def kept_by(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass(frozen=True)
class Figure:
    """One thing measured, a value for each repetition in the order they ran; `ceiling` names another figure."""

    case: str
    name: str
    unit: str
    values: tuple[float, ...]
    ceiling: str | None = None
    better: Better = "higher"
    aim: Aim | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Between the lowest and the highest value, as a part of the median; 0 of a single one."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0

    @property
    def kept(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        return None if self.aim is None else self.aim.kept_by(self.median)


def ratio(figure: Figure, to: Figure, name: str, aim: Aim | None = None) -> Figure:
    """`figure` in parts of `to`, each repetition by the same one's: what else the machine did, it did to both."""
    values = tuple(one / other for one, other in zip(figure.values, to.values, strict=True))
    return Figure(figure.case, name, "ratio", values, better=figure.better, aim=aim)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of `values` do not exceed; ValueError if there are none."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
