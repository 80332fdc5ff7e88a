"""Alerts on what customers or their orders suffer from, whatever the cause. Each asks for something that is there even
when nothing works: the age of what waits, not the share of what went well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.observability.burning import RUNBOOKS, scaled

ROLES = ("api", "relay", "worker", "fleet")


@dataclass(frozen=True)
class Symptom:
    name: str
    expr: str
    patience: str
    severity: str
    summary: str


SYMPTOMS = (
    Symptom("StrandedOrders", "max(gofleet_oldest_pending_seconds) > 60", "0m", "page",
            "An order has waited for {{ $value | humanizeDuration }} and nobody has decided about it"),
    Symptom("OutboxStuck", "max(gofleet_outbox_oldest_seconds) > 30", "1m", "page",
            "The oldest unpublished event is {{ $value | humanizeDuration }} old"),
    Symptom("FiguresStale", "time() - max(gofleet_figures_timestamp_seconds) > 60", "1m", "page",
            "Nobody counts what waits any more: alerts about it are blind"),
    Symptom("OutboxFailed", "max(gofleet_outbox_failed) > 0", "0m", "page",
            "{{ $value }} events were refused so often that no relay tries them any more"),
    Symptom("MessagesParked", "max(gofleet_parked_messages) > 0", "5m", "ticket",
            "{{ $value }} messages are parked and wait for people"),
    Symptom("MessagesUnroutable", "sum(increase(gofleet_messages_unroutable_total[10m])) > 0", "0m", "ticket",
            "Messages came back because no queue takes them"),
    Symptom("BreakerOpen", "max(gofleet_breaker_state) > 0", "2m", "page",
            "The breaker around the fleet service is not closed: orders go to people"),
    Symptom("ConnectionsExhausted", "sum(increase(gofleet_pool_timeouts_total[5m])) > 5", "2m", "ticket",
            "Again and again no connection to PostgreSQL was free in time"),
    Symptom("ProcessDown", 'sum by (role) (up{job="gofleet"} == bool 0) > 0', "1m", "page",
            "{{ $value }} processes of the role {{ $labels.role }} do not answer"),
    *(Symptom(f"{role.capitalize()}Absent", f'absent(gofleet_build_info{{roles=~"(.+,)?{role}(,.+)?"}})', "1m", "page",
              f"No process plays the role {role}")
      for role in ROLES),
)  # fmt: skip


def symptoms(*, scale: float = 1, every: str = "15s") -> dict[str, Any]:
    """The rule file; with a `scale` patience is that many times shorter."""
    rules = [
        {
            "alert": one.name,
            "expr": one.expr,
            "for": one.patience if one.patience == "0m" else scaled(one.patience, scale),
            "labels": {"severity": one.severity},
            "annotations": {"summary": one.summary, "runbook_url": f"{RUNBOOKS}#{anchor(one.name)}"},
        }
        for one in SYMPTOMS
    ]
    return {"groups": [{"name": "symptoms", "interval": every, "rules": rules}]}


def anchor(alert: str) -> str:
    """The section of the runbooks: all absent roles share one."""
    return "absent" if alert.endswith("Absent") else alert.lower()
