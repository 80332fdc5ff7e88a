"""Every Prometheus metric of GoFleet."""

from __future__ import annotations

import asyncio
import platform

from prometheus_client import Counter, Gauge, Histogram

from gofleet import __version__
from gofleet.domain.messages import QUEUES, UNKNOWN_TYPE
from gofleet.domain.order import Status
from gofleet.waiting import sleep_unless

HTTP_SECONDS = Histogram(
    "gofleet_http_request_duration_seconds",
    "Time to answer an HTTP request.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5),  # 0.2 is the SLO's bound
)
REQUESTS_REFUSED = Counter(
    "gofleet_requests_refused_total", "Requests rejected because too many were in flight.", ["requests"]
)
GRPC_SECONDS = Histogram(
    "gofleet_grpc_request_duration_seconds",
    "Time to answer a gRPC call.",
    ["method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.5, 5),  # 1.5 is the callers' timeout
)
OPEN_STREAMS = Gauge("gofleet_open_streams", "Streams of order events that clients hold open.")
USE_CASE_SECONDS = Histogram("gofleet_use_case_duration_seconds", "Time a use case took.", ["use_case", "outcome"])
DISPATCH_SECONDS = Histogram(
    "gofleet_order_dispatch_seconds",
    "Time an order waited for its driver, by the clock of the database.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 120),  # 5 is the SLO's bound
)
ORDERS_DUE = Counter("gofleet_orders_due_total", "Orders whose 5 s to get a driver are over.")
ORDERS_DEADLINE_MISSED = Counter("gofleet_orders_deadline_missed_total", "Orders that had no driver within 5 s.")
MESSAGES_PUBLISHED = Counter("gofleet_messages_published_total", "Events offered to the broker.", ["answer"])
MESSAGES_UNROUTABLE = Counter("gofleet_messages_unroutable_total", "Messages returned as unroutable.")
MESSAGES_HANDLED = Counter("gofleet_messages_handled_total", "Handled deliveries, by outcome.", ["queue", "verdict"])
MESSAGES_RETRIED = Counter("gofleet_messages_retried_total", "Failed attempts, by attempt number.", ["queue", "tier"])
MESSAGES_PARKED = Counter("gofleet_messages_parked_total", "Messages moved to dead-letter storage.", ["queue"])
PARKED_MESSAGES = Gauge("gofleet_parked_messages", "Messages in dead-letter storage that have not been replayed.")
LEASES_BUSY = Counter("gofleet_leases_busy_total", "Messages whose lease another worker held.")
LEASES_TAKEN_OVER = Counter("gofleet_leases_taken_over_total", "Leases taken over from a lost worker.")
INBOX_DUPLICATES = Counter("gofleet_inbox_duplicates_total", "Messages that had already been handled.", ["consumer"])
OUTBOX_UNPUBLISHED = Gauge("gofleet_outbox_unpublished", "Events committed and not yet published.")
OUTBOX_FAILED = Gauge("gofleet_outbox_failed", "Events that the broker refused too often; no relay retries them.")
OUTBOX_OLDEST_SECONDS = Gauge("gofleet_outbox_oldest_seconds", "Age of the oldest unpublished event.")
OLDEST_PENDING_SECONDS = Gauge("gofleet_oldest_pending_seconds", "Age of the oldest pending order.")
FIGURES_TIMESTAMP = Gauge(
    "gofleet_figures_timestamp_seconds",
    "Unix time of the last measurement of backlogs.",
)
ORDERS_ANNOUNCED_AGAIN = Counter("gofleet_orders_announced_again_total", "Orders whose event was re-published.")
ORDER_OUTCOMES = Counter("gofleet_order_outcomes_total", "Transitions, by status and actor.", ["outcome", "by"])
BREAKER_STATE = Gauge("gofleet_breaker_state", "The fleet circuit breaker: 0 closed, 1 open, 2 half open.")
POOL_WAIT_SECONDS = Histogram(
    "gofleet_pool_wait_seconds",
    "Time to acquire a connection from the PostgreSQL pool.",
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2),
)
POOL_TIMEOUTS = Counter("gofleet_pool_timeouts_total", "Timeouts of acquiring a connection from the PostgreSQL pool.")
BACKGROUND_ERRORS = Counter(
    "gofleet_background_errors_total", "Unforeseen errors of background work, which was then retried.", ["work"]
)
LOOP_LAG_SECONDS = Histogram(
    "gofleet_event_loop_lag_seconds",
    "Delay of the event loop.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
BUILD_INFO = Gauge("gofleet_build_info", "Always 1; labels of this process.", ["version", "python", "roles"])

LAG_INTERVAL_SECONDS = 0.5
TIERS = 9
"""Bounds the label: the attempt number comes from a header of the message, which may hold anything."""


def tier(attempt: int) -> str:
    """The label of the attempt after `attempt` counted ones."""
    return str(min(attempt + 1, TIERS))


async def measure_loop_lag(stop: asyncio.Event) -> None:
    """Sleep repeatedly until `stop`, and observe the delay of each wake-up."""
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        due = loop.time() + LAG_INTERVAL_SECONDS
        if not await sleep_unless(stop, LAG_INTERVAL_SECONDS):
            LOOP_LAG_SECONDS.observe(max(loop.time() - due, 0.0))


def set_build_info(roles: tuple[str, ...]) -> None:
    """Name this process's roles in each scrape, which tells a missing role from an idle one."""
    BUILD_INFO.labels(__version__, platform.python_version(), ",".join(sorted(roles))).set(1)


# A rate needs a value before the first event: the series that alerts use start at 0 instead of being absent. They exist
# in every process, whatever its roles: an unused series costs nothing.
for _status in (200, 201, 500, 503):
    HTTP_SECONDS.labels("POST", "/api/v1/orders", _status)
for _outcome in Status:
    for _by in ("client", "worker", "sweeper"):
        ORDER_OUTCOMES.labels(_outcome.value.lower(), _by)
for _queue in QUEUES:
    MESSAGES_PARKED.labels(_queue)
    for _verdict in ("done", "later", UNKNOWN_TYPE.verdict):
        MESSAGES_HANDLED.labels(_queue, _verdict)
    MESSAGES_RETRIED.labels(_queue, tier(0))
for _answer in ("confirmed", "message-refused", "unavailable"):
    MESSAGES_PUBLISHED.labels(_answer)
INBOX_DUPLICATES.labels("dispatch")
