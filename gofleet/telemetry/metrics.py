"""Every metric of GoFleet, on one screen."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

HTTP_SECONDS = Histogram(
    "gofleet_http_request_duration_seconds",
    "Time to answer an HTTP request.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5),  # 0.2 is the SLO's bound
)
OPEN_STREAMS = Gauge("gofleet_open_streams", "Streams of order events that clients hold open.")
USE_CASE_SECONDS = Histogram("gofleet_use_case_duration_seconds", "Time a use case took.", ["use_case", "outcome"])
DISPATCH_SECONDS = Histogram(
    "gofleet_order_dispatch_seconds",
    "Time an order waited for its driver, by the database's clock.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 120),  # 5 is the SLO's bound
)
MESSAGES_PUBLISHED = Counter("gofleet_messages_published_total", "Events offered to the broker.", ["answer"])
MESSAGES_HANDLED = Counter("gofleet_messages_handled_total", "Deliveries by what became of them.", ["queue", "verdict"])
MESSAGES_PARKED = Counter("gofleet_messages_parked_total", "Messages given up and kept for people.", ["queue"])
PARKED_MESSAGES = Gauge("gofleet_parked_messages", "Parked messages that are not back in their queues.")
OUTBOX_UNPUBLISHED = Gauge("gofleet_outbox_unpublished", "Events committed and not yet published.")
OUTBOX_FAILED = Gauge("gofleet_outbox_failed", "Events refused so often that no relay tries them any more.")
OUTBOX_OLDEST_SECONDS = Gauge("gofleet_outbox_oldest_seconds", "Age of the oldest of them.")
OLDEST_PENDING_SECONDS = Gauge("gofleet_oldest_pending_seconds", "How long the longest waiting order has waited.")
ORDERS_ANNOUNCED_AGAIN = Counter("gofleet_orders_announced_again_total", "Orders whose news had no effect in time.")
ORDER_OUTCOMES = Counter("gofleet_order_outcomes_total", "Moves of orders, by where they ended.", ["outcome"])
BREAKER_STATE = Gauge("gofleet_breaker_state", "The fleet breaker: 0 closed, 1 open, 2 half open.")
