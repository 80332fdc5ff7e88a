"""Counts requests for the objectives, and hands the counts over now and then."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus

from gofleet.domain.indicators import INGEST_SECONDS, RequestCounts
from gofleet.domain.values import new_name
from gofleet.ports import Indicators

API = "/api/"
INGEST_ROUTE = ("POST", "/api/v1/orders")
UNCOUNTED = ("/api/v1/orders/stream", "/api/v1/docs", "/api/v1/openapi.json")
"""They are no answers to a customer's question, or last for hours."""


class RequestCounter:
    """The counts of one process. What could not be handed over is kept, and handed over with the next."""

    def __init__(self) -> None:
        self._process = new_name()
        self._number = 1
        self._answered = self._failed = self._ingests = self._fast = 0
        self._offered: RequestCounts | None = None

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """An answered request; `route` is the template, which requests that no route answers have none of."""
        counted, failed, ingest = _meaning(method, route, status)
        self._answered += counted
        self._failed += failed
        self._ingests += ingest
        self._fast += ingest and not failed and seconds <= INGEST_SECONDS

    async def hand_over(self, indicators: Indicators) -> int:
        """Keep what was counted since the last time; 0: nobody need call again at once. May raise `Unavailable`.

        Without an answer nobody knows whether it was kept: the same number is then said again with the same counts.
        """
        if self._offered is None:
            if not self._answered:
                return 0
            self._offered = RequestCounts(self._answered, self._failed, self._ingests, self._fast)
            self._answered = self._failed = self._ingests = self._fast = 0
        await indicators.count(self._process, self._number, self._offered)
        self._number, self._offered = self._number + 1, None
        return 0


@cache  # few, and finding it out each time costs more than the counting
def _meaning(method: str, route: str, status: int) -> tuple[bool, bool, bool]:
    """Whether it counts at all, is our failure, and is an order that was ours to take."""
    if not route.startswith(API) or route.startswith(UNCOUNTED):
        return False, False, False
    failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    refused = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return True, failed, (method, route.rstrip("/")) == INGEST_ROUTE and not refused
