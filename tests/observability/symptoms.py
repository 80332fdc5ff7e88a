"""Alerts on symptoms, whatever their cause. Each uses a value that exists even when nothing works: the age of pending
work, not the share of successes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.observability.burning import RUNBOOKS, scaled

ROLES = ("api", "relay", "worker", "fleet")


@dataclass(frozen=True)
class Symptom:
    name: str
    expr: str
    pending: str
    severity: str
    summary: str


SYMPTOMS = (
    Symptom("StrandedOrders", "max(gofleet_oldest_pending_seconds) > 60", "0m", "page",
            "An order has been pending for {{ $value | humanizeDuration }} without a decision"),
    Symptom("OutboxStuck", "max(gofleet_outbox_oldest_seconds) > 30", "1m", "page",
            "The oldest unpublished event is {{ $value | humanizeDuration }} old"),
    Symptom("FiguresStale", "time() - max(gofleet_figures_timestamp_seconds) > 60", "1m", "page",
            "The metrics of waiting work are no longer updated: alerts on them are blind"),
    Symptom("OutboxFailed", "max(gofleet_outbox_failed) > 0", "0m", "page",
            "{{ $value }} events failed too often, and are no longer retried"),
    Symptom("MessagesParked", "max(gofleet_parked_messages) > 0", "5m", "ticket",
            "{{ $value }} messages are parked and need an operator"),
    Symptom("MessagesUnroutable", "sum(increase(gofleet_messages_unroutable_total[10m])) > 0", "0m", "ticket",
            "Messages were returned as unroutable"),
    Symptom("BreakerOpen", "max(gofleet_breaker_state) > 0", "2m", "page",
            "The circuit breaker of the fleet service is not closed: orders are escalated to manual dispatch"),
    Symptom("ConnectionsExhausted", "sum(increase(gofleet_pool_timeouts_total[5m])) > 5", "2m", "ticket",
            "Connections to PostgreSQL were repeatedly not free in time"),
    Symptom("ProcessDown", 'sum by (role) (up{job="gofleet"} == bool 0) > 0', "1m", "page",
            "{{ $value }} processes of the role {{ $labels.role }} do not respond"),
    *(Symptom(f"{role.capitalize()}Absent", f'absent(gofleet_build_info{{roles=~"(.+,)?{role}(,.+)?"}})', "1m", "page",
              f"No process runs the role {role}")
      for role in ROLES),
)  # fmt: skip


def symptoms(*, scale: float = 1, every: str = "15s") -> dict[str, Any]:
    """The rule file; a `scale` divides the `for` durations."""
    rules = [
        {
            "alert": symptom.name,
            "expr": symptom.expr,
            "for": symptom.pending if symptom.pending == "0m" else scaled(symptom.pending, scale),
            "labels": {"severity": symptom.severity},
            "annotations": {"summary": symptom.summary, "runbook_url": f"{RUNBOOKS}#{anchor(symptom.name)}"},
        }
        for symptom in SYMPTOMS
    ]
    return {"groups": [{"name": "symptoms", "interval": every, "rules": rules}]}


def anchor(alert: str) -> str:
    """The section of the runbooks; the alerts on absent roles share one."""
    return "absent" if alert.endswith("Absent") else alert.lower()
