"""Adaptive concurrency limits (AIMD) that shed load.

A request beyond the limit is rejected at once and at almost no cost; otherwise all requests would wait for each other
and none would be answered in time. The right limit for new orders depends on what else the machine does, so it adapts:
it shrinks by a factor when orders are slow and grows by a constant when they are fast, as TCP's congestion window does.
Like that, it reacts once a round trip: orders are written in batches, and one late batch is one sign, not sixty.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic

from loguru import logger

from gofleet.adapters.http.asgi import Scope, header
from gofleet.adapters.http.problem_types import RequestError
from gofleet.telemetry.metrics import REQUESTS_REFUSED

REQUESTS_MAX = 256
TARGET_SECONDS = 0.05
"""A quarter of the latency objective: on a saturated machine the 95th percentile was two to three times this value,
because requests also wait before they reach this process."""
REQUESTS_MIN = 16
"""Below this number, concurrency is not what makes requests slow."""
SHRINK, GROW = 0.8, 2.0
"""Factor for a slow round, increment for a fast one."""
SLOW_SHARE = 0.1
"""A round is slow if more than this share of its orders was."""
RETRY_DELAY_SECONDS = 1.0
LOG_INTERVAL_SECONDS = 10.0
"""Minimum time between two log lines about rejections: a line for each would be a load of its own."""
_API = "/api/v1"
_NEW_ORDERS = "/api/v1/orders"


class Overloaded(RequestError):
    code = "overcrowded"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the limit of {limit} concurrent requests is reached")
        self.retry_after_seconds = RETRY_DELAY_SECONDS


class ConcurrencyLimit:
    """Limit of the concurrent requests that compete for the same resource.

    It lies between `minimum` and `maximum` and falls while requests take longer than `target_seconds`. `requests` and
    `route` are the metric labels of rejected requests, which are not routed.
    """

    def __init__(
        self,
        requests: str,
        route: str,
        maximum: int,
        minimum: int = REQUESTS_MIN,
        target_seconds: float = inf,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.route = route
        self.in_flight = 0
        self._maximum, self._minimum = maximum, min(minimum, maximum)
        self._current = float(maximum)
        self._target_seconds = target_seconds
        self._clock = clock
        self._adapted_at = self._shrunk_at = -inf
        self._finished = self._slow = 0
        self._rejections = REQUESTS_REFUSED.labels(requests)
        self._requests = requests
        self._logged_at = -LOG_INTERVAL_SECONDS

    @property
    def current(self) -> int:
        return int(self._current)

    @property
    def is_full(self) -> bool:
        return self.in_flight >= self.current

    def start(self) -> float:
        """Admit one request, or `Overloaded` when the limit is reached; returns the time, for `finish`."""
        if self.is_full:
            raise Overloaded(self.record_rejection())
        self.in_flight += 1
        return self._clock()

    def finish(self, started_at: float) -> None:
        """Release one request. The first that began after the limit was adapted ends the round, and adapts it again.
        Those that began before it shrank do not count: it has shrunk because of them."""
        now = self._clock()
        self.in_flight -= 1
        if started_at >= self._shrunk_at:
            self._finished += 1
            self._slow += now - started_at > self._target_seconds
        if started_at >= self._adapted_at:
            self._adapt(now)

    def record_rejection(self) -> int:
        """Count one rejected request; returns the current limit."""
        self._rejections.inc()
        if monotonic() - self._logged_at >= LOG_INTERVAL_SECONDS:
            self._logged_at = monotonic()
            logger.bind(requests=self._requests, limit=self.current).warning("server overloaded, requests rejected")
        return self.current

    def _adapt(self, now: float) -> None:
        if self._slow > SLOW_SHARE * self._finished:
            self._current = max(self._current * SHRINK, self._minimum)
            self._shrunk_at = now
        else:
            self._current = min(self._current + GROW, self._maximum)
        self._adapted_at = now
        self._finished = self._slow = 0


class Slot:
    """A request's share of a limit, acquired at most once.

    It is acquired when the whole body has been received, so that slow senders do not hold slots.
    """

    __slots__ = ("_limit", "_requested", "_started_at")

    def __init__(self, limit: ConcurrencyLimit) -> None:
        self._limit = limit
        self._requested = False
        self._started_at: float | None = None

    def acquire(self) -> None:
        """`Overloaded` when the limit is reached."""
        if not self._requested:
            self._requested = True
            self._started_at = self._limit.start()

    def release(self) -> None:
        if self._started_at is not None:
            self._limit.finish(self._started_at)
            self._started_at = None


class LoadShedder:
    """Separate limits for new orders, which adapts, and for all other requests, which is fixed at `maximum`.

    Other requests may wait for the fleet service and must not keep orders out.
    """

    def __init__(
        self, maximum: int = REQUESTS_MAX, minimum: int = REQUESTS_MIN, target_seconds: float = TARGET_SECONDS
    ) -> None:
        self._orders = ConcurrencyLimit("new orders", _NEW_ORDERS, maximum, minimum, target_seconds)
        self._others = ConcurrencyLimit("others", _API, maximum)

    def limit_for(self, scope: Scope) -> ConcurrencyLimit | None:
        """The limit of a request. None for static responses and for health checks: a busy process is not unhealthy."""
        path: str = scope["path"]
        if scope["method"] == "POST" and path == _NEW_ORDERS:
            return self._orders
        return self._others if path.startswith(_API) else None


def has_body(scope: Scope) -> bool:
    return (header(scope, b"content-length") or "0") != "0" or header(scope, b"transfer-encoding") is not None
