"""The dashboards for on-call engineers: objectives, the flow of orders, dependencies and runtime."""

from __future__ import annotations

from typing import Any

from tests.observability.burning import BUDGET, RATIO
from tests.observability.objectives import objectives
from tests.observability.panels import Panel, Query, dashboard

OVER = "[$__rate_interval]"
HTTP, GRPC = "gofleet_http_request_duration_seconds", "gofleet_grpc_request_duration_seconds"
GREEN_BELOW = {bound: ((None, "green"), (bound, "red")) for bound in (1.0, 30.0, 60.0)}


def rate(metric: str, by: str = "", where: str = "") -> str:
    """A counter's rate, summed over all processes."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{f'{{{where}}}' if where else ''}{OVER}))"


def p99(buckets: str, by: str) -> str:
    return f"histogram_quantile(0.99, {rate(buckets, f'le, {by}')})"


def quantiles(buckets: str, where: str = "") -> list[Query]:
    """The median and the 95th and 99th percentiles."""
    return [Query(f"histogram_quantile({q}, {rate(buckets, 'le', where)})", f"p{100 * q:g}") for q in (0.5, 0.95, 0.99)]


def slo() -> dict[str, Any]:
    targets = [
        Panel(
            f"{slo.title}: objective {slo.target:.1%}",
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
        "Remaining error budget",
        [Query(BUDGET, "{{slo}}")],
        "Of the whole period. Below 0 the budget is overspent, and releases should wait.",
        "percentunit",
        12,
    )
    burning = Panel(
        "Burn rate",
        [Query(f'{RATIO}1h{{slo="{slo.name}"}} / {slo.budget:g}', slo.name) for slo in objectives()],
        "At 1 the budget is used up exactly at the end of the period; pages start at 6 or 14.4.",
        width=12,
    )
    symptoms = (
        Panel(
            "Firing alerts",
            [
                Query(
                    'count by (alertname, severity) (ALERTS{alertstate="firing"}) or vector(0)',
                    "{{alertname}} {{severity}}",
                )
            ],
            "Meaning and response: config/prometheus/runbooks.md.",
            width=12,
        ),
        Panel(
            "Oldest pending order",
            [Query("max(gofleet_oldest_pending_seconds)")],
            "Read from PostgreSQL, so it is known even when nothing else works.",
            "s",
            6,
            "stat",
            GREEN_BELOW[60.0],
        ),
        Panel(
            "Oldest unpublished event",
            [Query("max(gofleet_outbox_oldest_seconds)")],
            "Age of the oldest event that is not published yet.",
            "s",
            6,
            "stat",
            GREEN_BELOW[30.0],
        ),
    )
    rows = [
        ("Objectives", targets),
        ("Error budgets", [budgets, burning]),
        ("Symptoms", symptoms),
    ]
    return dashboard("gofleet-slo", "GoFleet: SLO overview", "Service level objectives and symptoms.", rows)


def orders() -> dict[str, Any]:
    requests = (
        Panel(
            "Requests", [Query(rate(HTTP + "_count", "method, route"), "{{method}} {{route}}")], "By route.", "reqps", 6
        ),
        Panel(
            "Failed requests",
            [Query(rate(HTTP + "_count", "route, status", 'status=~"5.."'), "{{route}} {{status}}")],
            "Responses with a 5xx status.",
            "reqps",
            6,
        ),
        Panel(
            "Rejected requests",
            [Query(rate("gofleet_requests_refused_total", "requests"), "{{requests}}")],
            "Shed because the server was overloaded: start more APIs, or find what they wait for.",
            "reqps",
            6,
        ),
        Panel(
            "Time to accept an order",
            quantiles(HTTP + "_bucket", 'method="POST",route="/api/v1/orders"'),
            "Objective: 95 % within 0.2 s.",
            "s",
            6,
        ),
    )
    outcomes = (
        Panel(
            "Outcomes of orders",
            [Query(rate("gofleet_order_outcomes_total", "outcome, by"), "{{outcome}} by {{by}}")],
            "Counted after each commit.",
            "ops",
        ),
        Panel(
            "Created to dispatched",
            quantiles("gofleet_order_dispatch_seconds_bucket"),
            "Dispatched orders only; orders that stay pending are in the next panel.",
            "s",
        ),
        Panel(
            "Later than 5 s",
            [
                Query(rate("gofleet_orders_due_total"), "due"),
                Query(rate("gofleet_orders_deadline_missed_total"), "missed"),
            ],
            "The sweeper counts every order once.",
            "ops",
        ),
    )
    queues = (
        Panel(
            "Unpublished events",
            [Query("max(gofleet_outbox_unpublished)", "unpublished"), Query("max(gofleet_outbox_failed)", "failed")],
            "The outbox.",
        ),
        Panel(
            "Ages",
            [
                Query("max(gofleet_outbox_oldest_seconds)", "oldest event"),
                Query("max(gofleet_oldest_pending_seconds)", "oldest pending order"),
            ],
            "Oldest event and oldest order.",
            "s",
        ),
        Panel(
            "Messages handled",
            [Query(rate("gofleet_messages_handled_total", "queue, verdict"), "{{queue}} {{verdict}}")],
            "`later` is a retry without a failure: no driver nearby, or another worker holds the order.",
            "ops",
        ),
        Panel(
            "Published",
            [
                Query(rate("gofleet_messages_published_total", "answer"), "{{answer}}"),
                Query(rate("gofleet_messages_unroutable_total"), "unroutable"),
            ],
            "By the broker's confirmation.",
            "ops",
        ),
        Panel(
            "Retries",
            [
                Query(rate("gofleet_messages_retried_total", "queue, tier"), "{{queue}} tier {{tier}}"),
                Query(rate("gofleet_orders_announced_again_total"), "re-published"),
            ],
            "Retried messages, and orders whose events were re-published.",
            "ops",
        ),
        Panel(
            "Duplicates",
            [
                Query(rate("gofleet_inbox_duplicates_total", "consumer"), "handled before ({{consumer}})"),
                Query(rate("gofleet_leases_busy_total"), "leased by another worker"),
                Query(rate("gofleet_leases_taken_over_total"), "taken over from a lost worker"),
            ],
            "Messages delivered more than once, with one effect.",
            "ops",
        ),
        Panel(
            "Parked",
            [
                Query("max(gofleet_parked_messages)", "parked"),
                Query(f"sum by (queue) (increase(gofleet_messages_parked_total{OVER}))", "new from {{queue}}"),
            ],
            "See the runbook of MessagesParked.",
        ),
    )
    rows = [("Requests", requests), ("Outcomes", outcomes), ("Queues", queues)]
    return dashboard("gofleet-orders", "GoFleet: order flow", "Requests, outcomes and queues.", rows)


def dependencies() -> dict[str, Any]:
    fleet = (
        Panel(
            "Calls to the fleet service",
            [Query(rate(GRPC + "_count", "method, status"), "{{method}} {{status}}")],
            "NOT_FOUND is a regular response: no driver nearby.",
            "reqps",
        ),
        Panel(
            "Search duration",
            quantiles(GRPC + "_bucket", 'method="SearchDriver"'),
            "The timeout is 1.5 s.",
            "s",
        ),
        Panel(
            "Circuit breakers not closed",
            [Query("sum(gofleet_breaker_state > bool 0)")],
            "While the breaker is open, orders are escalated to manual dispatch.",
            "short",
            8,
            "stat",
            GREEN_BELOW[1.0],
        ),
    )
    database = (
        Panel(
            "Wait for a connection",
            [Query(p99("gofleet_pool_wait_seconds_bucket", "role"), "p99 {{role}}")],
            "Each process has DB_POOL_SIZE of them.",
            "s",
            12,
        ),
        Panel(
            "Connection timeouts",
            [Query(rate("gofleet_pool_timeouts_total", "role"), "{{role}}")],
            "No connection became free in time.",
            "ops",
            12,
        ),
    )
    runtime = (
        Panel(
            "Event-loop lag",
            [Query(p99("gofleet_event_loop_lag_seconds_bucket", "role"), "p99 {{role}}")],
            "A blocked event loop blocks the whole process.",
            "s",
        ),
        Panel(
            "CPU",
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
            "By outcome.",
            "ops",
        ),
        Panel(
            "Background errors",
            [Query(rate("gofleet_background_errors_total", "role, work"), "{{role}} {{work}}")],
            "Unforeseen ones; the work is retried, and the log has a traceback.",
            "ops",
        ),
        Panel("Streams", [Query("sum(gofleet_open_streams)", "open")], "Clients connected to an event stream."),
        Panel(
            "Processes",
            [
                Query("sum by (roles, version) (gofleet_build_info)", "{{roles}} {{version}}"),
                Query('count(up{job="gofleet"} == 0) or vector(0)', "down"),
            ],
            "Running processes by role and version.",
        ),
    )
    rows = [("Fleet service", fleet), ("PostgreSQL", database), ("Processes", runtime)]
    return dashboard(
        "gofleet-dependencies",
        "GoFleet: dependencies and runtime",
        "The fleet service, PostgreSQL and the processes.",
        rows,
    )


DASHBOARDS = {"slo": slo, "orders": orders, "dependencies": dependencies}
"""File name -> dashboard; the first is Grafana's home."""


def queries() -> list[tuple[str, str]]:
    """Panel and expression of every query."""
    return [
        (f"{dashboard['title']} / {panel['title']}", target["expr"])
        for dashboard in (build() for build in DASHBOARDS.values())
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
