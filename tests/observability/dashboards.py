"""What an on-call engineer sees: are customers hurt, where do orders wait, what does it depend on."""

from __future__ import annotations

from typing import Any

from tests.observability.burning import BUDGET, RATIO
from tests.observability.objectives import objectives
from tests.observability.panels import Panel, Query, dashboard

OVER = "[$__rate_interval]"
HTTP, GRPC = "gofleet_http_request_duration_seconds", "gofleet_grpc_request_duration_seconds"
GREEN_BELOW = {bound: ((None, "green"), (bound, "red")) for bound in (1.0, 30.0, 60.0)}


def rate(metric: str, by: str = "", where: str = "") -> str:
    """A counter's rate, added up over all processes."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{f'{{{where}}}' if where else ''}{OVER}))"


def p99(buckets: str, by: str) -> str:
    return f"histogram_quantile(0.99, {rate(buckets, f'le, {by}')})"


def quantiles(buckets: str, where: str = "") -> list[Query]:
    """Median, and how bad it is for one of twenty, and of a hundred."""
    return [Query(f"histogram_quantile({q}, {rate(buckets, 'le', where)})", f"p{100 * q:g}") for q in (0.5, 0.95, 0.99)]


def slo() -> dict[str, Any]:
    promised = [
        Panel(
            f"{slo.title}: promised {slo.target:.1%}",
            [Query(f'1 - {RATIO}1h{{slo="{slo.name}"}}')],
            f"The last hour: {slo.about}.",
            "percentunit",
            6,
            "stat",
            ((None, "red"), (slo.target, "green")),
        )
        for slo in objectives()
    ]
    budgets = Panel(
        "Budget left",
        [Query(BUDGET, "{{slo}}")],
        "Of the whole period; below 0 it is overspent, and releases should wait.",
        "percentunit",
        12,
    )
    burning = Panel(
        "How fast it burns",
        [Query(f'{RATIO}1h{{slo="{slo.name}"}} / {slo.budget:g}', slo.name) for slo in objectives()],
        "1 uses it up exactly at the end of the period; alerts wake somebody from 6 or 14.4 on.",
        width=12,
    )
    hurt = (
        Panel(
            "Alerts that fire",
            [
                Query(
                    'count by (alertname, severity) (ALERTS{alertstate="firing"}) or vector(0)',
                    "{{alertname}} {{severity}}",
                )
            ],
            "What they mean and what to do: config/prometheus/runbooks.md.",
            width=12,
        ),
        Panel(
            "The order that waits longest",
            [Query("max(gofleet_oldest_pending_seconds)")],
            "Asked of PostgreSQL, so it tells even when nothing else works.",
            "s",
            6,
            "stat",
            GREEN_BELOW[60.0],
        ),
        Panel(
            "The oldest unpublished event",
            [Query("max(gofleet_outbox_oldest_seconds)")],
            "New orders of which nobody has heard yet.",
            "s",
            6,
            "stat",
            GREEN_BELOW[30.0],
        ),
    )
    rows = [
        ("Are promises kept?", promised),
        ("For how long can this go on?", [budgets, burning]),
        ("What hurts?", hurt),
    ]
    return dashboard("gofleet-slo", "GoFleet: SLO overview", "Whether customers are hurt.", rows)


def orders() -> dict[str, Any]:
    coming = (
        Panel(
            "Requests", [Query(rate(HTTP + "_count", "method, route"), "{{method}} {{route}}")], "By route.", "reqps", 6
        ),
        Panel(
            "Requests that failed",
            [Query(rate(HTTP + "_count", "route, status", 'status=~"5.."'), "{{route}} {{status}}")],
            "Our fault: 5xx.",
            "reqps",
            6,
        ),
        Panel(
            "Requests refused",
            [Query(rate("gofleet_requests_refused_total", "requests"), "{{requests}}")],
            "More at once than can be answered in time: start more APIs, or find what they wait for.",
            "reqps",
            6,
        ),
        Panel(
            "Time to accept an order",
            quantiles(HTTP + "_bucket", 'method="POST",route="/api/v1/orders"'),
            "Promised: 95 % within 0.2 s.",
            "s",
            6,
        ),
    )
    becoming = (
        Panel(
            "What becomes of orders",
            [Query(rate("gofleet_order_outcomes_total", "outcome, by"), "{{outcome}} by {{by}}")],
            "Counted right behind each commit.",
            "ops",
        ),
        Panel(
            "Created to dispatched",
            quantiles("gofleet_order_dispatch_seconds_bucket"),
            "Of those that were dispatched; those that wait for ever are in the next panel.",
            "s",
        ),
        Panel(
            "Later than 5 s",
            [
                Query(rate("gofleet_orders_due_total"), "due"),
                Query(rate("gofleet_orders_deadline_missed_total"), "missed"),
            ],
            "Every order is judged once, by the sweeper.",
            "ops",
        ),
    )
    waiting = (
        Panel(
            "Events to be published",
            [Query("max(gofleet_outbox_unpublished)", "unpublished"), Query("max(gofleet_outbox_failed)", "failed")],
            "The outbox.",
        ),
        Panel(
            "Ages",
            [
                Query("max(gofleet_outbox_oldest_seconds)", "oldest event"),
                Query("max(gofleet_oldest_pending_seconds)", "oldest waiting order"),
            ],
            "Of what waits.",
            "s",
        ),
        Panel(
            "Messages handled",
            [Query(rate("gofleet_messages_handled_total", "queue, verdict"), "{{queue}} {{verdict}}")],
            "Later is no failure: nobody was near, or somebody else is at work on it.",
            "ops",
        ),
        Panel(
            "Published",
            [
                Query(rate("gofleet_messages_published_total", "answer"), "{{answer}}"),
                Query(rate("gofleet_messages_unroutable_total"), "unroutable"),
            ],
            "By the broker's answer.",
            "ops",
        ),
        Panel(
            "Tried again",
            [
                Query(rate("gofleet_messages_retried_total", "queue, tier"), "{{queue}} tier {{tier}}"),
                Query(rate("gofleet_orders_announced_again_total"), "announced again"),
            ],
            "Failed tries, and orders whose news had no effect.",
            "ops",
        ),
        Panel(
            "Twice",
            [
                Query(rate("gofleet_inbox_duplicates_total", "consumer"), "handled before ({{consumer}})"),
                Query(rate("gofleet_leases_busy_total"), "at work elsewhere"),
            ],
            "Messages that came more than once and had one effect.",
            "ops",
        ),
        Panel(
            "Parked",
            [
                Query("max(gofleet_parked_messages)", "waiting for people"),
                Query(f"sum by (queue) (increase(gofleet_messages_parked_total{OVER}))", "new of {{queue}}"),
            ],
            "See the runbook of MessagesParked.",
        ),
    )
    rows = [("What comes in?", coming), ("What becomes of it?", becoming), ("What waits, and where?", waiting)]
    return dashboard("gofleet-orders", "GoFleet: order flow", "Where orders are, and where they wait.", rows)


def dependencies() -> dict[str, Any]:
    fleet = (
        Panel(
            "Calls of the fleet service",
            [Query(rate(GRPC + "_count", "method, status"), "{{method}} {{status}}")],
            "NOT_FOUND is an answer: nobody near.",
            "reqps",
        ),
        Panel("Time of a search", quantiles(GRPC + "_bucket", 'method="SearchDriver"'), "Callers wait for 1.5 s.", "s"),
        Panel(
            "Breakers that are not closed",
            [Query("sum(gofleet_breaker_state > bool 0)")],
            "While it is open orders go to people.",
            "short",
            8,
            "stat",
            GREEN_BELOW[1.0],
        ),
    )
    database = (
        Panel(
            "Time until a connection was free",
            [Query(p99("gofleet_pool_wait_seconds_bucket", "role"), "p99 {{role}}")],
            "Each process has DB_POOL_SIZE of them.",
            "s",
            12,
        ),
        Panel(
            "None free in time",
            [Query(rate("gofleet_pool_timeouts_total", "role"), "{{role}}")],
            "Work that had to wait outside.",
            "ops",
            12,
        ),
    )
    runtime = (
        Panel(
            "Event-loop lag",
            [Query(p99("gofleet_event_loop_lag_seconds_bucket", "role"), "p99 {{role}}")],
            "What blocks it blocks everything a process does.",
            "s",
        ),
        Panel(
            "Processor",
            [Query(rate("process_cpu_seconds_total", "role", 'job="gofleet"'), "{{role}}")],
            "Cores in use.",
            "short",
        ),
        Panel(
            "Memory",
            [Query('max by (role) (process_resident_memory_bytes{job="gofleet"})', "{{role}}")],
            "The largest process of each role.",
            "bytes",
        ),
        Panel(
            "Use cases",
            [Query(rate("gofleet_use_case_duration_seconds_count", "use_case, outcome"), "{{use_case}} {{outcome}}")],
            "By how they ended.",
            "ops",
        ),
        Panel("Streams", [Query("sum(gofleet_open_streams)", "open")], "Clients that follow orders."),
        Panel(
            "Processes",
            [
                Query("sum by (roles, version) (gofleet_build_info)", "{{roles}} {{version}}"),
                Query('count(up{job="gofleet"} == 0) or vector(0)', "down"),
            ],
            "What runs, in which version.",
        ),
    )
    rows = [("Does the fleet answer?", fleet), ("Does PostgreSQL keep up?", database), ("Do the processes?", runtime)]
    return dashboard("gofleet-dependencies", "GoFleet: dependencies and runtime", "What it stands on.", rows)


DASHBOARDS = {"slo": slo, "orders": orders, "dependencies": dependencies}
"""File name -> dashboard; the first is home."""


def queries() -> list[tuple[str, str]]:
    """Panel and expression of every query."""
    return [
        (f"{made()['title']} / {panel['title']}", target["expr"])
        for made in DASHBOARDS.values()
        for panel in made()["panels"]
        for target in panel.get("targets", [])
    ]
