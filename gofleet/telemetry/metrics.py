"""Every metric of GoFleet, on one screen."""

from __future__ import annotations

import platform

from prometheus_client import Counter, Gauge, Histogram

from gofleet import __version__
from gofleet.domain.messages import QUEUES
from gofleet.domain.order import Status

HTTP_SECONDS = Histogram(
    "gofleet_http_request_duration_seconds",
    "Time to answer an HTTP request.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5),  # 0.2 is the SLO's bound
)
REQUESTS_REFUSED = Counter(
    "gofleet_requests_refused_total", "Requests refused because as many were in hand as there may be.", ["requests"]
)
GRPC_SECONDS = Histogram(
    "gofleet_grpc_request_duration_seconds",
    "Time to answer a gRPC call.",
    ["method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.5, 5),  # 1.5 is how long callers wait
)
OPEN_STREAMS = Gauge("gofleet_open_streams", "Streams of order events that clients hold open.")
USE_CASE_SECONDS = Histogram("gofleet_use_case_duration_seconds", "Time a use case took.", ["use_case", "outcome"])
DISPATCH_SECONDS = Histogram(
    "gofleet_order_dispatch_seconds",
    "Time an order waited for its driver, by the database's clock.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 120),  # 5 is the SLO's bound
)
ORDERS_DUE = Counter("gofleet_orders_due_total", "Orders that were to have a driver within 5 s, counted when late.")
ORDERS_DEADLINE_MISSED = Counter("gofleet_orders_deadline_missed_total", "Of those, the ones that had none by then.")
MESSAGES_PUBLISHED = Counter("gofleet_messages_published_total", "Events offered to the broker.", ["answer"])
MESSAGES_UNROUTABLE = Counter("gofleet_messages_unroutable_total", "Messages returned because no queue takes them.")
MESSAGES_HANDLED = Counter("gofleet_messages_handled_total", "Deliveries by what became of them.", ["queue", "verdict"])
MESSAGES_RETRIED = Counter("gofleet_messages_retried_total", "Failed tries, by which one it was.", ["queue", "tier"])
MESSAGES_PARKED = Counter("gofleet_messages_parked_total", "Messages given up and kept for people.", ["queue"])
PARKED_MESSAGES = Gauge("gofleet_parked_messages", "Parked messages that are not back in their queues.")
LEASES_BUSY = Counter("gofleet_leases_busy_total", "Messages that somebody else was at work on.")
INBOX_DUPLICATES = Counter("gofleet_inbox_duplicates_total", "Messages that had been handled before.", ["consumer"])
OUTBOX_UNPUBLISHED = Gauge("gofleet_outbox_unpublished", "Events committed and not yet published.")
OUTBOX_FAILED = Gauge("gofleet_outbox_failed", "Events refused so often that no relay tries them any more.")
OUTBOX_OLDEST_SECONDS = Gauge("gofleet_outbox_oldest_seconds", "Age of the oldest of them.")
OLDEST_PENDING_SECONDS = Gauge("gofleet_oldest_pending_seconds", "How long the longest waiting order has waited.")
FIGURES_TIMESTAMP = Gauge("gofleet_figures_timestamp_seconds", "When what waits was last counted, as a Unix time.")
ORDERS_ANNOUNCED_AGAIN = Counter("gofleet_orders_announced_again_total", "Orders whose news had no effect in time.")
ORDER_OUTCOMES = Counter("gofleet_order_outcomes_total", "Moves of orders, by where they ended.", ["outcome", "by"])
BREAKER_STATE = Gauge("gofleet_breaker_state", "The fleet breaker: 0 closed, 1 open, 2 half open.")
POOL_WAIT_SECONDS = Histogram(
    "gofleet_pool_wait_seconds",
    "Time until a connection to PostgreSQL was free.",
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2),
)
POOL_TIMEOUTS = Counter("gofleet_pool_timeouts_total", "How often none was free in time.")
LOOP_LAG_SECONDS = Histogram(
    "gofleet_event_loop_lag_seconds",
    "How late the event loop was.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
BUILD_INFO = Gauge("gofleet_build_info", "Always 1: what runs here.", ["version", "python", "roles"])

TIERS = 9
"""The most that are told apart: a message says itself how often it was tried, and may say anything."""


def tier(attempt: int) -> str:
    """The label of the try after so many counted ones."""
    return str(min(attempt + 1, TIERS))


def set_build_info(roles: tuple[str, ...]) -> None:
    """In each scrape from now on: without it nobody could tell a role that is missing from one that is quiet."""
    BUILD_INFO.labels(__version__, platform.python_version(), ",".join(sorted(roles))).set(1)


# A rate needs a value before the first event: what alerts ask for starts at 0 instead of being absent. Set here for
# every process, whatever it plays, for a series that never moves costs nothing.
for _status in (200, 201, 500, 503):
    HTTP_SECONDS.labels("POST", "/api/v1/orders", _status)
for _outcome in Status:
    for _by in ("client", "worker", "sweeper"):
        ORDER_OUTCOMES.labels(_outcome.value.lower(), _by)
for _queue in QUEUES:
    MESSAGES_PARKED.labels(_queue)
    for _verdict in ("done", "later"):
        MESSAGES_HANDLED.labels(_queue, _verdict)
    MESSAGES_RETRIED.labels(_queue, tier(0))
for _answer in ("confirmed", "message-refused", "unavailable"):
    MESSAGES_PUBLISHED.labels(_answer)
INBOX_DUPLICATES.labels("dispatch")
