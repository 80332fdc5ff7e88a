"""How many requests are in hand. One more than can be answered in time is refused at once and costs next to nothing;
otherwise all of them would wait for each other, and none would be answered in time.

How many new orders that is depends on what else the machine does, so it is found out: while they take too long the room
for them shrinks by a part, and while they do not it grows by so much again (as TCP finds out how much a network takes).
"""

from __future__ import annotations

from math import inf
from time import monotonic

from loguru import logger

from gofleet.adapters.http.asgi import Scope, header
from gofleet.telemetry.metrics import REQUESTS_REFUSED

REQUESTS_MAX = 256
TARGET_SECONDS = 0.05
"""A quarter of what the objective allows: where all of the machine is busy, 95 % of all answers took up to two or three
times this, for they wait before they are here, too."""
REQUESTS_MIN = 16
"""Below that it is not their number that makes them slow."""
SHRINK, GROW = 0.98, 0.125
"""By each order that took too long, and by each that did not: with room for 64 about one of ten is too slow."""
RETRY_DELAY_SECONDS = 1.0
LOG_INTERVAL_SECONDS = 10.0
"""As often as the log tells of it: a line for each would be a load of its own."""
API = "/api/v1"
NEW_ORDERS = "/api/v1/orders"


class Overloaded(Exception):
    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} such requests are in hand, which is as many as there may be")
        self.retry_after_seconds = RETRY_DELAY_SECONDS


class ConcurrencyLimit:
    """Requests that wait for the same: `most` of them, and fewer, down to `least`, while they take longer than
    `target_seconds`. `route` is what metrics call those that were refused: nobody has looked yet where they would have
    led."""

    def __init__(
        self, requests: str, route: str, maximum: int, minimum: int = REQUESTS_MIN, target_seconds: float = inf
    ) -> None:
        self.route = route
        self.in_flight = 0
        self._most, self._least = maximum, min(minimum, maximum)
        self._present = float(maximum)
        self._target_seconds = target_seconds
        self._refused = REQUESTS_REFUSED.labels(requests)
        self._requests = requests
        self._told_at = -LOG_INTERVAL_SECONDS

    @property
    def current(self) -> int:
        """How many there is room for at present."""
        return int(self._present)

    def finish(self, seconds: float) -> None:
        """One that took so long is answered."""
        self.in_flight -= 1
        if seconds > self._target_seconds:
            self._present = max(self._present * SHRINK, self._least)
        else:
            self._present = min(self._present + GROW, self._most)

    @property
    def is_full(self) -> bool:
        return self.in_flight >= self.current

    def check(self) -> None:
        """`Overloaded` when it is full."""
        if self.is_full:
            raise Overloaded(self.record_rejection())

    def record_rejection(self) -> int:
        """Count one that is refused; how many there is room for."""
        self._refused.inc()
        if monotonic() - self._told_at >= LOG_INTERVAL_SECONDS:
            self._told_at = monotonic()
            logger.bind(requests=self._requests, most=self.current).warning("too many requests, some are refused")
        return self.current


class Slot:
    """Of one request, which takes it at most once. Whoever is slow to send a body keeps nobody out: it is taken when
    all of the body is there."""

    __slots__ = ("_asked", "_room", "_since")

    def __init__(self, room: ConcurrencyLimit) -> None:
        self._room = room
        self._asked = False
        self._since: float | None = None

    def acquire(self) -> None:
        """`Overloaded` when there is none left."""
        if not self._asked:
            self._asked = True
            self._room.check()
            self._room.in_flight += 1
            self._since = monotonic()

    def release(self) -> None:
        if self._since is not None:
            self._room.finish(monotonic() - self._since)
            self._since = None


class LoadShedder:
    """`most` new orders, fewer, down to `least`, while they take longer than `target_seconds`; and `most` others.

    Those may wait for the fleet, and must not keep orders out.
    """

    def __init__(
        self, maximum: int = REQUESTS_MAX, minimum: int = REQUESTS_MIN, target_seconds: float = TARGET_SECONDS
    ) -> None:
        self._orders = ConcurrencyLimit("new orders", NEW_ORDERS, maximum, minimum, target_seconds)
        self._others = ConcurrencyLimit("others", API, maximum)

    def limit_for(self, scope: Scope) -> ConcurrencyLimit | None:
        """None for what waits for nobody, and for health: a process that is busy is not ill."""
        path: str = scope["path"]
        if scope["method"] == "POST" and path == NEW_ORDERS:
            return self._orders
        return self._others if path.startswith(API) else None


def has_body(scope: Scope) -> bool:
    """Whether one is to come."""
    return (header(scope, b"content-length") or "0") != "0" or header(scope, b"transfer-encoding") is not None
