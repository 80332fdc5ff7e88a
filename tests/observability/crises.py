"""Invented crises, in promtool's words, and which symptom alert must fire in them and when not."""

from __future__ import annotations

from typing import Any, NamedTuple

HEALTHY = 'up{job="gofleet",role="worker",instance="w1"}', "1x60"


class Crisis(NamedTuple):
    """One sample each minute; `fires` and `silent` are minutes."""

    alert: str
    series: dict[str, str]
    fires: tuple[int, ...] = ()
    silent: tuple[int, ...] = ()
    labels: dict[str, str] = {}  # noqa: RUF012  never changed


def _roles(*present: str) -> dict[str, str]:
    return {f'gofleet_build_info{{version="1",python="3",roles="{roles}"}}': "1x30" for roles in present}


PENDING, OLDEST = 'gofleet_oldest_pending_seconds{instance="r1"}', 'gofleet_outbox_oldest_seconds{instance="r1"}'
OTHER_PENDING = 'gofleet_oldest_pending_seconds{instance="r2"}'
FIGURES, OTHER_FIGURES = (f'gofleet_figures_timestamp_seconds{{instance="{one}"}}' for one in ("r1", "w1"))
FAILED, PARKED = 'gofleet_outbox_failed{instance="r1"}', 'gofleet_parked_messages{instance="r1"}'
UNROUTABLE, TIMEOUTS = 'gofleet_messages_unroutable_total{instance="r1"}', 'gofleet_pool_timeouts_total{instance="a1"}'
BREAKER, OTHER_BREAKER = 'gofleet_breaker_state{instance="w1"}', 'gofleet_breaker_state{instance="w2"}'
UP, OTHER_UP = 'up{job="gofleet",role="worker",instance="w1"}', 'up{job="gofleet",role="worker",instance="w2"}'
WORKER = {"role": "worker"}

CRISES = (
    Crisis("StrandedOrders", {PENDING: "0x9 61x4 0x10", OTHER_PENDING: "0x30"}, fires=(10, 14), silent=(9, 15)),
    Crisis("StrandedOrders", {PENDING: "60x30"}, silent=(5, 30)),
    Crisis("StrandedOrders", {}, silent=(5,)),
    Crisis("OutboxStuck", {OLDEST: "0x9 31x10 0x10"}, fires=(11, 20), silent=(10, 21)),
    Crisis("OutboxStuck", {OLDEST: "30x30"}, silent=(30,)),
    Crisis("OutboxStuck", {}, silent=(5,)),
    Crisis("FiguresStale", {FIGURES: "0+60x9 540x5 900+60x10"}, fires=(12, 15), silent=(11, 16)),
    Crisis("FiguresStale", {FIGURES: "-70+60x30"}, fires=(2, 30)),
    Crisis("FiguresStale", {FIGURES: "-60+60x30"}, silent=(30,)),
    Crisis("FiguresStale", {FIGURES: "0+60x30", OTHER_FIGURES: "0x30"}, silent=(30,)),
    Crisis("FiguresStale", {}, silent=(5,)),
    Crisis("OutboxFailed", {FAILED: "0x9 1x5 0x10"}, fires=(10, 15), silent=(9, 16)),
    Crisis("OutboxFailed", {}, silent=(5,)),
    Crisis("MessagesParked", {PARKED: "0x9 1x10 0x10"}, fires=(15, 20), silent=(14, 21)),
    Crisis("MessagesParked", {PARKED: "0x30"}, silent=(30,)),
    Crisis("MessagesParked", {}, silent=(5,)),
    Crisis("MessagesUnroutable", {UNROUTABLE: "0x9 1x30"}, fires=(11, 18), silent=(9, 22)),
    Crisis("MessagesUnroutable", {UNROUTABLE: "7x30"}, silent=(30,)),
    Crisis("MessagesUnroutable", {}, silent=(5,)),
    # Half open counts, and one worker is enough: a breaker that flaps is not closed.
    Crisis("BreakerOpen", {BREAKER: "0x9 1 2 1 2 1 0x10", OTHER_BREAKER: "0x30"}, fires=(12, 14), silent=(11, 15)),
    Crisis("BreakerOpen", {BREAKER: "0x30"}, silent=(30,)),
    Crisis("BreakerOpen", {}, silent=(5,)),
    Crisis("ConnectionsExhausted", {TIMEOUTS: "0x9 4+4x5 24x20"}, fires=(13, 16), silent=(10, 12, 22)),
    Crisis("ConnectionsExhausted", {TIMEOUTS: "0+1x30"}, silent=(30,)),
    Crisis("ConnectionsExhausted", {}, silent=(5,)),
    Crisis("ProcessDown", {UP: "1x9 0x5 1x10", OTHER_UP: "1x30"}, fires=(11, 15), silent=(10, 16), labels=WORKER),
    Crisis("ProcessDown", {UP: "1x30", OTHER_UP: "1x30"}, silent=(30,)),
    Crisis("ProcessDown", {'up{job="something else"}': "0x30"}, silent=(30,)),
    Crisis("ApiAbsent", _roles("relay", "worker", "fleet"), fires=(1, 30), silent=(0,)),
    Crisis("ApiAbsent", _roles("api", "relay"), silent=(30,)),
    Crisis("RelayAbsent", {}, fires=(1,), silent=(0,)),
    Crisis("RelayAbsent", _roles("api,fleet,relay,worker"), silent=(30,)),
    Crisis("WorkerAbsent", _roles("coworker", "workers", "api"), fires=(1,), silent=(0,)),
    Crisis("WorkerAbsent", _roles("fleet,worker"), silent=(30,)),
    Crisis("FleetAbsent", _roles("api", "relay", "worker"), fires=(1,), silent=(0,)),
    Crisis("FleetAbsent", _roles("fleet"), silent=(30,)),
    Crisis(
        "FleetAbsent",
        {'gofleet_build_info{version="1",python="3",roles="fleet"}': "1x9 stale _x9 1x10"},
        fires=(11, 19),
        silent=(10, 20),
    ),
)  # fmt: skip


def tests_of_symptoms(rules: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Of all of them; `rules` are the alerts by name. Summaries that tell a value are filled in by hand."""
    return [
        {
            "name": f"{one.alert}: {', '.join(one.series.values()) or 'nothing known'}",
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in one.series.items()],
            "alert_rule_test": [
                {"eval_time": f"{minute}m", "alertname": one.alert, "exp_alerts": _firing(one, rules) if fires else []}
                for fires, minutes in ((True, one.fires), (False, one.silent))
                for minute in minutes
            ],
        }
        for one in CRISES
    ]


VALUES = {
    "StrandedOrders": "1m 1s",
    "OutboxStuck": "31s",
    "OutboxFailed": "1",
    "MessagesParked": "1",
    "ProcessDown": "1",
}


def _firing(crisis: Crisis, rules: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    rule = rules[crisis.alert]
    summary = _said(rule["annotations"]["summary"], VALUES.get(crisis.alert, ""), crisis.labels)
    labels = {**rule["labels"], **crisis.labels}
    return [{"exp_labels": labels, "exp_annotations": {**rule["annotations"], "summary": summary}}]


def _said(summary: str, value: str, labels: dict[str, str]) -> str:
    for words in ("{{ $value | humanizeDuration }}", "{{ $value }}"):
        summary = summary.replace(words, value)
    return summary.replace("{{ $labels.role }}", labels.get("role", ""))
