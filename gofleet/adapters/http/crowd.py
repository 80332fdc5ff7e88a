"""How many requests are in hand. One more than can be answered in time is refused at once and costs next to nothing;
otherwise all of them would wait for each other, and none would be answered in time."""

from __future__ import annotations

from time import monotonic

from loguru import logger

from gofleet.adapters.http.asgi import Scope, header
from gofleet.telemetry.metrics import REQUESTS_REFUSED

MOST_REQUESTS = 256
"""At 1,500 a second the last of them has waited for 0.17 s."""
RETRY_SECONDS = 1.0
TELL_SECONDS = 10.0
"""As often as the log tells of it: a line for each would be a load of its own."""
API = "/api/v1"
NEW_ORDERS = "/api/v1/orders"


class Overcrowded(Exception):
    def __init__(self, most: int) -> None:
        super().__init__(f"{most} such requests are in hand, which is as many as there may be")
        self.retry_after_seconds = RETRY_SECONDS


class Room:
    """Requests that wait for the same. `route` is what metrics call those that were refused: nobody has looked yet
    where they would have led."""

    def __init__(self, requests: str, route: str, most: int) -> None:
        self.route = route
        self.in_hand = 0
        self._most = most
        self._refused = REQUESTS_REFUSED.labels(requests)
        self._requests = requests
        self._told_at = -TELL_SECONDS

    def check(self) -> None:
        """`Overcrowded` when it is full."""
        if self.in_hand < self._most:
            return
        self._refused.inc()
        if monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = monotonic()
            logger.bind(requests=self._requests, most=self._most).warning("too many requests, some are refused")
        raise Overcrowded(self._most)


class Place:
    """Of one request, which takes it at most once. Whoever is slow to send a body keeps nobody out: it is taken when
    all of the body is there."""

    __slots__ = ("_asked", "_room", "_taken")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._asked = False
        self._taken = False

    def take(self) -> None:
        """`Overcrowded` when there is none left."""
        if not self._asked:
            self._asked = True
            self._room.check()
            self._room.in_hand += 1
            self._taken = True

    def leave(self) -> None:
        if self._taken:
            self._room.in_hand -= 1
            self._taken = False


class Crowd:
    """`most` new orders, and as many other requests: these may wait for the fleet, and must not keep orders out."""

    def __init__(self, most: int = MOST_REQUESTS) -> None:
        self._orders = Room("new orders", NEW_ORDERS, most)
        self._others = Room("others", API, most)

    def room_for(self, scope: Scope) -> Room | None:
        """None for what waits for nobody, and for health: a process that is busy is not ill."""
        path: str = scope["path"]
        if scope["method"] == "POST" and path == NEW_ORDERS:
            return self._orders
        return self._others if path.startswith(API) else None


def has_body(scope: Scope) -> bool:
    """Whether one is to come."""
    return (header(scope, b"content-length") or "0") != "0" or header(scope, b"transfer-encoding") is not None
