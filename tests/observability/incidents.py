"""Synthetic incidents in promtool's notation, and the minutes at which each symptom alert must or must not fire."""

from __future__ import annotations

from typing import Any, NamedTuple

HEALTHY = 'up{job="gofleet",role="worker",instance="w1"}', "1x60"


class Incident(NamedTuple):
    """Series with one sample per minute; `fires` and `silent` are minutes."""

    alert: str
    series: dict[str, str]
    fires: tuple[int, ...] = ()
    silent: tuple[int, ...] = ()
    labels: dict[str, str] = {}  # noqa: RUF012  never mutated


def _roles(*present: str) -> dict[str, str]:
    return {f'gofleet_build_info{{version="1",python="3",roles="{roles}"}}': "1x30" for roles in present}


PENDING, OLDEST = 'gofleet_oldest_pending_seconds{instance="r1"}', 'gofleet_outbox_oldest_seconds{instance="r1"}'
OTHER_PENDING = 'gofleet_oldest_pending_seconds{instance="r2"}'
FIGURES, OTHER_FIGURES = (f'gofleet_figures_timestamp_seconds{{instance="{instance}"}}' for instance in ("r1", "w1"))
FAILED, PARKED = 'gofleet_outbox_failed{instance="r1"}', 'gofleet_parked_messages{instance="r1"}'
UNROUTABLE, TIMEOUTS = 'gofleet_messages_unroutable_total{instance="r1"}', 'gofleet_pool_timeouts_total{instance="a1"}'
BREAKER, OTHER_BREAKER = 'gofleet_breaker_state{instance="w1"}', 'gofleet_breaker_state{instance="w2"}'
UP, OTHER_UP = 'up{job="gofleet",role="worker",instance="w1"}', 'up{job="gofleet",role="worker",instance="w2"}'
WORKER = {"role": "worker"}

INCIDENTS = (
    Incident("StrandedOrders", {PENDING: "0x9 61x4 0x10", OTHER_PENDING: "0x30"}, fires=(10, 14), silent=(9, 15)),
    Incident("StrandedOrders", {PENDING: "60x30"}, silent=(5, 30)),
    Incident("StrandedOrders", {}, silent=(5,)),
    Incident("OutboxStuck", {OLDEST: "0x9 31x10 0x10"}, fires=(11, 20), silent=(10, 21)),
    Incident("OutboxStuck", {OLDEST: "30x30"}, silent=(30,)),
    Incident("OutboxStuck", {}, silent=(5,)),
    Incident("FiguresStale", {FIGURES: "0+60x9 540x5 900+60x10"}, fires=(12, 15), silent=(11, 16)),
    Incident("FiguresStale", {FIGURES: "-70+60x30"}, fires=(2, 30)),
    Incident("FiguresStale", {FIGURES: "-60+60x30"}, silent=(30,)),
    Incident("FiguresStale", {FIGURES: "0+60x30", OTHER_FIGURES: "0x30"}, silent=(30,)),
    Incident("FiguresStale", {}, silent=(5,)),
    Incident("OutboxFailed", {FAILED: "0x9 1x5 0x10"}, fires=(10, 15), silent=(9, 16)),
    Incident("OutboxFailed", {}, silent=(5,)),
    Incident("MessagesParked", {PARKED: "0x9 1x10 0x10"}, fires=(15, 20), silent=(14, 21)),
    Incident("MessagesParked", {PARKED: "0x30"}, silent=(30,)),
    Incident("MessagesParked", {}, silent=(5,)),
    Incident("MessagesUnroutable", {UNROUTABLE: "0x9 1x30"}, fires=(11, 18), silent=(9, 22)),
    Incident("MessagesUnroutable", {UNROUTABLE: "7x30"}, silent=(30,)),
    Incident("MessagesUnroutable", {}, silent=(5,)),
    # Half-open counts as not closed, and one worker is enough: a flapping breaker is not closed.
    Incident("BreakerOpen", {BREAKER: "0x9 1 2 1 2 1 0x10", OTHER_BREAKER: "0x30"}, fires=(12, 14), silent=(11, 15)),
    Incident("BreakerOpen", {BREAKER: "0x30"}, silent=(30,)),
    Incident("BreakerOpen", {}, silent=(5,)),
    Incident("ConnectionsExhausted", {TIMEOUTS: "0x9 4+4x5 24x20"}, fires=(13, 16), silent=(10, 12, 22)),
    Incident("ConnectionsExhausted", {TIMEOUTS: "0+1x30"}, silent=(30,)),
    Incident("ConnectionsExhausted", {}, silent=(5,)),
    Incident("ProcessDown", {UP: "1x9 0x5 1x10", OTHER_UP: "1x30"}, fires=(11, 15), silent=(10, 16), labels=WORKER),
    Incident("ProcessDown", {UP: "1x30", OTHER_UP: "1x30"}, silent=(30,)),
    Incident("ProcessDown", {'up{job="something else"}': "0x30"}, silent=(30,)),
    Incident("ApiAbsent", _roles("relay", "worker", "fleet"), fires=(1, 30), silent=(0,)),
    Incident("ApiAbsent", _roles("api", "relay"), silent=(30,)),
    Incident("RelayAbsent", {}, fires=(1,), silent=(0,)),
    Incident("RelayAbsent", _roles("api,fleet,relay,worker"), silent=(30,)),
    Incident("WorkerAbsent", _roles("coworker", "workers", "api"), fires=(1,), silent=(0,)),
    Incident("WorkerAbsent", _roles("fleet,worker"), silent=(30,)),
    Incident("FleetAbsent", _roles("api", "relay", "worker"), fires=(1,), silent=(0,)),
    Incident("FleetAbsent", _roles("fleet"), silent=(30,)),
    Incident(
        "FleetAbsent",
        {'gofleet_build_info{version="1",python="3",roles="fleet"}': "1x9 stale _x9 1x10"},
        fires=(11, 19),
        silent=(10, 20),
    ),
)  # fmt: skip


def tests_of_symptoms(rules: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """promtool's tests of all incidents; `rules` are the alerts by name. Values in summaries come from VALUES."""
    return [
        {
            "name": f"{incident.alert}: {', '.join(incident.series.values()) or 'no series'}",
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in incident.series.items()],
            "alert_rule_test": [
                {
                    "eval_time": f"{minute}m",
                    "alertname": incident.alert,
                    "exp_alerts": _firing(incident, rules) if fires else [],
                }
                for fires, minutes in ((True, incident.fires), (False, incident.silent))
                for minute in minutes
            ],
        }
        for incident in INCIDENTS
    ]


VALUES = {
    "StrandedOrders": "1m 1s",
    "OutboxStuck": "31s",
    "OutboxFailed": "1",
    "MessagesParked": "1",
    "ProcessDown": "1",
}


def _firing(incident: Incident, rules: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    rule = rules[incident.alert]
    summary = _filled(rule["annotations"]["summary"], VALUES.get(incident.alert, ""), incident.labels)
    labels = {**rule["labels"], **incident.labels}
    return [{"exp_labels": labels, "exp_annotations": {**rule["annotations"], "summary": summary}}]


def _filled(summary: str, value: str, labels: dict[str, str]) -> str:
    for placeholder in ("{{ $value | humanizeDuration }}", "{{ $value }}"):
        summary = summary.replace(placeholder, value)
    return summary.replace("{{ $labels.role }}", labels.get("role", ""))
