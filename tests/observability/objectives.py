"""The service level objectives in config/prometheus/slo.yaml."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "config/prometheus"
GRAFANA = ROOT / "config/grafana"


@dataclass(frozen=True)
class Slo:
    """An objective. `bad` and `valid` are rates over `$window`, `burn` the alert factors over 1 h, 6 h, 1 d and 3 d."""

    name: str
    target: float
    about: str
    bad: str
    valid: str
    burn: tuple[float, ...]
    floor: float

    @property
    def budget(self) -> float:
        """The share of cases that may be bad."""
        return round(1 - self.target, 9)

    @property
    def title(self) -> str:
        return self.name.capitalize()


def objectives() -> list[Slo]:
    text = (PROMETHEUS / "slo.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    slos = [Slo(**fields) for fields in document["objectives"]]
    return [replace(slo, burn=tuple(slo.burn)) for slo in slos]


def period_days() -> int:
    return yaml.safe_load((PROMETHEUS / "slo.yaml").read_text(encoding="utf-8"))["period_days"]
