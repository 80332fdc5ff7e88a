"""Burn-rate rules for Prometheus, from the objectives: recorded error ratios over each window, and alerts on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.observability.objectives import Slo

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
RATIO, EVENTS, BUDGET = "gofleet:slo_errors:ratio_rate", "gofleet:slo_events:increase", "gofleet:slo_budget:ratio"
RUNBOOKS = "config/prometheus/runbooks.md"


@dataclass(frozen=True)
class Burn:
    """A multi-window burn-rate alert: the long window shows that the burn matters, the short one that it continues."""

    long: str
    short: str
    severity: str
    pending: str


BURNS = (
    Burn("1h", "5m", "page", "2m"),
    Burn("6h", "30m", "page", "5m"),
    Burn("1d", "2h", "ticket", "15m"),
    Burn("3d", "6h", "ticket", "15m"),
)


def seconds(window: str) -> float:
    return int(window[:-1]) * SECONDS[window[-1]]


def scaled(window: str, scale: float) -> str:
    """The window divided by `scale`; in its original notation when `scale` is 1."""
    return window if scale == 1 else f"{max(1, round(seconds(window) / scale))}s"


def alert_name(slo: Slo, burn: Burn) -> str:
    return f"{slo.title}Burns{burn.long}"


def burning(slos: Sequence[Slo], period_days: int, *, scale: float = 1, every: str = "30s") -> dict[str, Any]:
    """The rule file. A `scale` divides all windows and keeps their names, so that a test needs a minute for an hour."""
    budgets = [_budget(slo, f"{period_days}d", scale) for slo in slos]
    # An alert stays in the group of its records: groups are evaluated concurrently, the rules of a group in order.
    return {
        "groups": [
            *({"name": f"slo-{slo.name}", "interval": every, "rules": _rules_of(slo, scale)} for slo in slos),
            {"name": "slo-budgets", "interval": "5m" if scale == 1 else every, "rules": budgets},
        ]
    }


def _rules_of(slo: Slo, scale: float) -> list[dict[str, Any]]:
    return [*_recorded(slo, scale), *_alerts(slo, scale)]


def _recorded(slo: Slo, scale: float) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    for window in WINDOWS:
        bad, valid = (each.replace("$window", scaled(window, scale)) for each in (slo.bad, slo.valid))
        rules.append(_rule(f"{RATIO}{window}", _ratio(bad, valid), slo))
    for burn in BURNS:
        over = scaled(burn.long, scale)
        rules.append(_rule(f"{EVENTS}{burn.long}", f"({slo.valid.replace('$window', over)}) * {seconds(over):g}", slo))
    return rules


def _ratio(bad: str, valid: str) -> str:
    # Without any bad case the ratio is 0; without valid cases there is no ratio.
    return f"(({bad}) or vector(0)) / (({valid}) > 0)"


def _rule(record: str, expr: str, slo: Slo) -> dict[str, Any]:
    return {"record": record, "expr": expr, "labels": {"slo": slo.name}}


def _budget(slo: Slo, period: str, scale: float) -> dict[str, Any]:
    """The remaining share of the period's budget: 1 = all of it, below 0 = overspent."""
    bad, valid = (each.replace("$window", scaled(period, scale)) for each in (slo.bad, slo.valid))
    return _rule(BUDGET, f"1 - {_ratio(bad, valid)} / {slo.budget:g}", slo)


def _alerts(slo: Slo, scale: float) -> list[dict[str, Any]]:
    return [_alert(slo, burn, factor, scale) for burn, factor in zip(BURNS, slo.burn, strict=True)]


def _alert(slo: Slo, burn: Burn, factor: float, scale: float) -> dict[str, Any]:
    bound, selector = f"{factor * slo.budget:.6g}", f'{{slo="{slo.name}"}}'
    expr = (
        f"{RATIO}{burn.long}{selector} > {bound} and {RATIO}{burn.short}{selector} > {bound}"
        f" and {EVENTS}{burn.long}{selector} >= {slo.floor:g}"
    )
    return {
        "alert": alert_name(slo, burn),
        "expr": expr,
        "for": scaled(burn.pending, scale),
        "labels": {"severity": burn.severity},
        "annotations": {
            "summary": f"{slo.title}: over {factor * slo.budget:.3%} bad in {burn.long}, and in the last {burn.short}",
            "description": f"Objective {slo.target:.1%}: {slo.about}. The budget burns {factor:g} times too fast.",
            "runbook_url": f"{RUNBOOKS}#{slo.name}-burns",
        },
    }
