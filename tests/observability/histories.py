"""Synthetic time series in promtool's notation, and when each burn alert must or must not fire.

The bounds stand here a second time, as numbers, so that the tests check what slo.yaml computes from its factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.observability.burning import BURNS, Burn, alert_name, seconds
from tests.observability.objectives import Slo

FIRES_ABOVE = {
    "ingest": (0.30, 0.20, 0.10, 0.05),
    "availability": (0.0144, 0.006, 0.003, 0.001),
    "dispatch": (0.144, 0.06, 0.03, 0.01),
    "success": (0.072, 0.03, 0.015, 0.005),
}
"""The share of bad cases, over 1 h, 6 h, 1 d and 3 d."""
FLOORS = {"ingest": 100, "availability": 100, "dispatch": 20, "success": 20}
BUSY = 10_000.0
"""Valid cases per minute of a busy day."""
SEVERITIES = ("page", "page", "ticket", "ticket")
STEPS = (60, 300, 600, 3600)
"""Seconds between two samples of a history; shorter steps make the tests of days take minutes."""

HTTP = "gofleet_http_request_duration_seconds"
ORDERS = 'method="POST",route="/api/v1/orders"'
# Series that must not count, with many cases: client errors, event streams, health checks, manual transitions.
DECOYS = (
    f'{HTTP}_count{{{ORDERS},status="422"}}',
    f'{HTTP}_count{{method="GET",route="/api/v1/orders/stream",status="500"}}',
    f'{HTTP}_count{{method="GET",route="none",status="500"}}',
    'gofleet_order_outcomes_total{outcome="dispatched",by="client"}',
    'gofleet_order_outcomes_total{outcome="cancelled",by="client"}',
)
SERIES = {
    "ingest": (f'{HTTP}_bucket{{{ORDERS},status="201",le="0.2"}}', None, f'{HTTP}_count{{{ORDERS},status="201"}}'),
    "availability": (
        f'{HTTP}_count{{method="GET",route="/api/v1/orders/{{order_id}}",status="200"}}',
        f'{HTTP}_count{{method="GET",route="/api/v1/orders/{{order_id}}",status="503"}}',
        None,
    ),
    "dispatch": (None, "gofleet_orders_deadline_missed_total", "gofleet_orders_due_total"),
    "success": (
        'gofleet_order_outcomes_total{outcome="dispatched",by="worker"}',
        'gofleet_order_outcomes_total{outcome="manual_dispatch",by="worker"}',
        None,
    ),
}
"""The series of good, bad and valid cases, where one exists."""

Piece = tuple[float, float]
"""A duration in seconds, and the share of bad cases during it."""


def history_of(slo: Slo, pieces: Sequence[Piece], step: int, per_minute: float = BUSY) -> list[dict[str, str]]:
    """The series as Prometheus would scrape them every `step` seconds."""
    valid = per_minute * step / 60
    cases = [(length, (1 - bad) * valid, bad * valid, valid) for length, bad in pieces]
    counted = [
        _written(series, [(case[0], case[column]) for case in cases], step)
        for column, series in enumerate(SERIES[slo.name], start=1)
        if series is not None
    ]
    whole = sum(length for length, _ in pieces)
    # For availability a 422 is a good case.
    decoys = [series for series in DECOYS if slo.name != "availability" or "422" not in series]
    return counted + [_written(decoy, [(whole, 20 * valid)], step) for decoy in decoys]


def _written(series: str, pieces: Sequence[tuple[float, float]], step: int) -> dict[str, str]:
    total, values = 0.0, list[str]()
    for length, increment in pieces:
        count = round(length / step)
        values.append(f"{total + increment:.10g}+{increment:.10g}x{count - 1}")
        total += increment * count
    return {"series": series, "values": " ".join(values)}


def tests_of(slo: Slo, burn: Burn, rules: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """promtool's tests of one alert of this objective; `rules` are the alerts by name."""
    name, number = alert_name(slo, burn), BURNS.index(burn)
    bound, severity = FIRES_ABOVE[slo.name][number], SEVERITIES[number]
    firing = {"exp_labels": {"severity": severity, "slo": slo.name}, "exp_annotations": rules[name]["annotations"]}
    history = History(slo, burn, name, STEPS[number], firing)
    tests = [history.steady(bound), history.just_below(bound), history.passing(bound)]
    return [*tests, history.quiet(0.9, None), history.quiet(1.2, firing)] if severity == "page" else tests


@dataclass(frozen=True)
class History:
    """Histories of one objective, in steps of `step` seconds, with the times at which the alert fires."""

    slo: Slo
    burn: Burn
    alert: str
    step: int
    firing: dict[str, Any]

    @property
    def pending(self) -> float:
        return seconds(self.burn.pending)

    def steady(self, bound: float) -> dict[str, Any]:
        """Constantly just above the bound: pending first, then firing."""
        series = history_of(self.slo, [(self.pending + 9 * self.step, bound * 1.02)], self.step)
        expected = [(self.step, None), (self.pending + 5 * self.step, self.firing)]
        return self._test(f"{bound * 1.02:.4%} bad", series, expected)

    def just_below(self, bound: float) -> dict[str, Any]:
        series = history_of(self.slo, [(self.pending + 9 * self.step, bound * 0.98)], self.step)
        expected = [(self.pending + 5 * self.step, None), (self.pending + 8 * self.step, None)]
        return self._test(f"{bound * 0.98:.4%} bad", series, expected)

    def passing(self, bound: float) -> dict[str, Any]:
        """Twice the bound after a healthy time: it fires once that fills half of the long window, and stops with the
        short window, long before the long one is clean."""
        long, short = seconds(self.burn.long), seconds(self.burn.short)
        series = history_of(self.slo, [(long, 0), (0.7 * long, 2 * bound), (short, 0)], self.step)
        ended = 1.7 * long
        expected = [
            (1.4 * long, None),
            (1.6 * long + self.pending, self.firing),
            (ended + 0.1 * short, self.firing),
            (ended + 0.9 * short, None),
        ]
        return self._test("passes", series, expected)

    def quiet(self, share: float, firing: dict[str, Any] | None) -> dict[str, Any]:
        """With very few cases, as at night, even a complete failure does not page."""
        long, cases = seconds(self.burn.long), share * FLOORS[self.slo.name]
        series = history_of(self.slo, [(1.2 * long, 1.0)], self.step, per_minute=cases / long * 60)
        return self._test(f"{cases:g} cases", series, [(1.15 * long, firing)])

    def _test(self, name: str, series: list[dict[str, str]], expected: Sequence[tuple[float, Any]]) -> dict[str, Any]:
        return {
            "name": f"{self.alert}: {name}",
            "interval": f"{self.step}s",
            "input_series": series,
            "alert_rule_test": [
                {
                    "eval_time": f"{round(second / self.step) * self.step}s",
                    "alertname": self.alert,
                    "exp_alerts": [firing] if firing else [],
                }
                for second, firing in expected
            ],
        }
