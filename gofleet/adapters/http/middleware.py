"""What every request passes first: its id, its trace, its time in the metrics, its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import cache
from http import HTTPStatus
from time import perf_counter
from typing import Any

import msgspec
from opentelemetry.trace import Span, SpanKind, StatusCode

from gofleet.adapters.http.asgi import NOSNIFF, ASGIApp, Message, Receive, Scope, Send, header, respond
from gofleet.adapters.http.error_handler import problem_headers, problem_of, send_overloaded
from gofleet.adapters.http.load_shedding import ConcurrencyLimit, LoadShedder, Slot, has_body
from gofleet.adapters.http.problems import MEDIA_TYPE
from gofleet.adapters.http.rate_limit import RATE_LIMIT_STATUS, rate_limit_headers
from gofleet.adapters.http.request_limits import BODY_BYTES_MAX, BODY_SECONDS, BodyDeadlines, LimitedBody, check_host
from gofleet.domain.errors import Unavailable
from gofleet.domain.indicators import INGEST_SECONDS, RequestCounts
from gofleet.domain.values import IDENTIFIER, new_text_id
from gofleet.ports import Indicators
from gofleet.telemetry.metrics import HTTP_SECONDS
from gofleet.telemetry.tracing import record_error, span

API = "/api/"
INGEST_ROUTE = ("POST", "/api/v1/orders")
UNCOUNTED = ("/api/v1/orders/stream", "/api/v1/docs", "/api/v1/openapi.json")
"""They are no answers to a customer's question, or last for hours."""


class RequestCounter:
    """The counts of one process. What could not be handed over is kept, and handed over with the next."""

    def __init__(self) -> None:
        self._process = new_text_id()
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

    async def flush(self, indicators: Indicators) -> int:
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


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Those that may become a label or a span's name: a client can invent others without end."""

Count = Callable[[str, str, int, float], None]
"""Told of every answer: method, route (its template), status, and how many seconds it took."""


class RequestMiddleware:
    """Wraps the whole application, so that it also sees what no route answers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        body_bytes_max: int = BODY_BYTES_MAX,
        body_seconds: float = BODY_SECONDS,
        allowed_hosts: Collection[str] = (),
        load_shedder: LoadShedder | None = None,
        count: Count,
    ) -> None:
        self._app = app
        self._crowd = load_shedder or LoadShedder()
        self._allowed_hosts = allowed_hosts
        self._count = count
        self._largest_body = body_bytes_max
        self._deadlines = BodyDeadlines(body_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        room = self._crowd.limit_for(scope)
        if room is not None and room.is_full:
            await self._refuse(scope, send, room, request_id)
            return
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id, scope["state"])
        if room is None:
            await self._handle(scope, receive, answer)
            return
        place = answer.place = Slot(room)
        try:
            await self._handle(scope, receive, answer)
        finally:
            place.release()

    async def _refuse(self, scope: Scope, send: Send, room: ConcurrencyLimit, request_id: str) -> None:
        """Before anything else is done for the request: under such a load nothing is cheap."""
        started = perf_counter()
        status = await send_overloaded(send, room.record_rejection(), request_id)
        self._note(_method(scope), room.route, status, perf_counter() - started)

    async def _handle(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        method, take = _method(scope), answer.place.acquire if answer.place else _nothing
        limited = LimitedBody(scope, receive, bytes_max=self._largest_body, deadlines=self._deadlines, on_complete=take)
        started = perf_counter()
        with span(method, SpanKind.SERVER, traceparent=header(scope, b"traceparent")) as current:
            try:
                if not has_body(scope):
                    take()
                check_host(scope, self._allowed_hosts)
                await self._app(scope, limited, answer)
            except asyncio.CancelledError:
                if not answer.started:
                    await answer.fail(Unavailable("this server", "it is stopping"))
                raise
            except Exception as error:
                # Litestar answers every error itself; this is for what it never saw, its own failures, half answers.
                record_error(error)
                await answer.fail(error)
            finally:
                # The route's template, which is known only now; never the path, whose values have no end.
                route = scope.get("path_template") or "none"
                seconds = (answer.streams_since or perf_counter()) - started
                self._note(method, route, answer.status, seconds)
                _describe(current, method, route, answer.status)

    def _note(self, method: str, route: str, status: int, seconds: float) -> None:
        _seconds_of(method, route, status).observe(seconds)
        self._count(method, route, status, seconds)


_seconds_of = cache(HTTP_SECONDS.labels)  # few, and looking one up costs more than what is noted in it


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else "OTHER"


def _nothing() -> None:
    pass


def _describe(current: Span, method: str, route: str, status: int) -> None:
    """Never the path or the query, which may name anybody's place: the route says enough."""
    if not current.is_recording():
        return
    current.update_name(f"{method} {route}")
    current.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        current.set_status(StatusCode.ERROR)


class _Answer:
    """An ASGI `send` that adds the request's id and remembers the status; 500 until there is one.

    `place` is the request's, which a stream leaves when it begins: there may be other numbers of those.
    `streams_since` is when an answer began that has no end of its own: only until then a client waits for it.
    """

    def __init__(self, send: Send, request_id: str, state: Mapping[str, Any]) -> None:
        self.status = 500
        self._send = send
        self._state = state
        self._request_id = request_id
        self.started = False
        self.place: Slot | None = None
        self.streams_since: float | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            if _streams(message):
                self.streams_since = perf_counter()
                if self.place:
                    self.place.release()
            named = (b"x-request-id", self._request_id.encode("ascii"))
            message["headers"] = [*message.get("headers", ()), named, NOSNIFF]
            if standing := self._state.get(RATE_LIMIT_STATUS):
                message["headers"] += rate_limit_headers(standing)
        await self._send(message)

    async def fail(self, error: Exception) -> None:
        """Answer with a problem; raise `error` if an answer has begun, for the server to cut the connection."""
        problem = problem_of(error, self._request_id)
        if self.started:
            raise error
        body = msgspec.json.encode(problem)
        await respond(self, problem.status, MEDIA_TYPE, body, *problem_headers(error).items())


def _streams(start: Message) -> bool:
    return (header(start, b"content-type") or "").startswith("text/event-stream")


def _request_id(scope: Scope) -> str:
    """The client's, if it could be one of ours: it goes to logs and headers."""
    given = header(scope, b"x-request-id") or ""
    return given if IDENTIFIER.fullmatch(given) else new_text_id()
