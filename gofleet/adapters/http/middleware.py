"""Outermost middleware: request id, tracing, metrics, load shedding, body and host limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import cache
from http import HTTPStatus
from time import perf_counter
from typing import Any

from litestar.exceptions import NotFoundException
from opentelemetry.trace import Span, SpanKind, StatusCode

from gofleet.adapters.http.asgi import NOSNIFF, ASGIApp, Message, Receive, Scope, Send, header
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.error_handler import problem_of, send_overloaded, send_problem
from gofleet.adapters.http.health import PROBE_PATHS
from gofleet.adapters.http.load_shedding import ConcurrencyLimit, LoadShedder, Slot, has_body
from gofleet.adapters.http.rate_limit import RATE_LIMIT_STATUS, rate_limit_headers
from gofleet.adapters.http.request_limits import (
    BODY_BYTES_MAX,
    BODY_SECONDS,
    BodyDeadlines,
    LimitedBody,
    canonical_path,
    check_host,
    check_origin,
)
from gofleet.domain.errors import Unavailable
from gofleet.domain.indicators import INGEST_SECONDS, RequestCounts
from gofleet.domain.values import IDENTIFIER, new_text_id
from gofleet.ports import Indicators
from gofleet.telemetry.metrics import HTTP_SECONDS
from gofleet.telemetry.tracing import record_error, span

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that may become metric labels or span names: clients can invent any number of others."""
API = "/api/"
INGEST_ROUTE = ("POST", "/api/v1/orders")
UNCOUNTED = ("/api/v1/orders/stream", "/api/v1/docs", "/api/v1/openapi.json")
"""Routes outside the service level objectives: documentation, and streams that last for hours."""

OnResponse = Callable[[str, str, int, float], None]
"""Called for each response with method, route template, status and duration in seconds."""


class RequestCounter:
    """Counts the responses of one process for the service level objectives.

    Counts that could not be flushed are kept and flushed with the next ones.
    """

    def __init__(self) -> None:
        self._process = new_text_id()
        self._number = 1
        self._answered = self._failed = self._ingests = self._fast = 0
        self._unconfirmed: RequestCounts | None = None

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a response; `route` is the route template, `none` for an unrouted request."""
        counted, failed, ingest = _classify(method, route, status)
        self._answered += counted
        self._failed += failed
        self._ingests += ingest
        self._fast += ingest and not failed and seconds <= INGEST_SECONDS

    async def flush(self, indicators: Indicators) -> int:
        """Store the counts since the last flush; returns 0, so that a periodic caller waits. `Unavailable`.

        After a failure it is unknown whether the counts were stored: the retry repeats the same number and counts,
        and the receiver ignores duplicates.
        """
        if self._unconfirmed is None:
            if not self._answered:
                return 0
            self._unconfirmed = RequestCounts(self._answered, self._failed, self._ingests, self._fast)
            self._answered = self._failed = self._ingests = self._fast = 0
        await indicators.count(self._process, self._number, self._unconfirmed)
        self._number, self._unconfirmed = self._number + 1, None
        return 0


class RequestMiddleware:
    """Wraps the whole application, so that it also covers requests that match no route."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        body_bytes_max: int = BODY_BYTES_MAX,
        body_seconds: float = BODY_SECONDS,
        allowed_hosts: Collection[str] = (),
        load_shedder: LoadShedder | None = None,
        authenticator: Authenticator | None = None,
        on_response: OnResponse,
    ) -> None:
        self._app = app
        self._authenticator = authenticator or Authenticator()
        self._load_shedder = load_shedder or LoadShedder()
        self._allowed_hosts = allowed_hosts
        self._on_response = on_response
        self._body_bytes_max = body_bytes_max
        self._deadlines = BodyDeadlines(body_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["path"] = canonical_path(scope)
        limit = self._load_shedder.limit_for(scope)
        if limit is not None and limit.is_full:
            await self._shed(scope, send, limit, request_id)
            return
        scope.setdefault("state", {})["request_id"] = request_id
        response = _ResponseSender(send, request_id, scope["state"], without_body=scope["method"] == "HEAD")
        if limit is None:
            await self._handle(scope, receive, response)
            return
        slot = response.slot = Slot(limit)
        try:
            await self._handle(scope, receive, response)
        finally:
            slot.release()

    async def _shed(self, scope: Scope, send: Send, limit: ConcurrencyLimit, request_id: str) -> None:
        """Reject before any other work is done for the request: under overload nothing is cheap."""
        started = perf_counter()
        status = await send_overloaded(send, limit.record_rejection(), request_id)
        self._record(_method(scope), limit.route, status, perf_counter() - started)

    async def _handle(self, scope: Scope, receive: Receive, response: _ResponseSender) -> None:
        method, acquire = _method(scope), response.slot.acquire if response.slot else _do_nothing
        body = LimitedBody(
            scope, receive, bytes_max=self._body_bytes_max, deadlines=self._deadlines, on_complete=acquire
        )
        started = perf_counter()
        with span(method, SpanKind.SERVER, traceparent=header(scope, b"traceparent")) as current:
            try:
                if not has_body(scope):
                    acquire()
                await self._authenticator.admit(scope)
                if scope["path"] not in PROBE_PATHS:  # an orchestrator addresses a process by its address
                    check_host(scope, self._allowed_hosts)
                if not self._authenticator.auth_required:
                    check_origin(scope)
                if not scope["path"]:
                    raise NotFoundException
                if scope["method"] == "HEAD":
                    scope["method"], receive = "GET", _until_body_ends(body)
                else:
                    receive = body
                await self._app(scope, receive, response)
            except asyncio.CancelledError:
                if not response.started:
                    await response.fail(Unavailable("this server", "it is stopping"))
                raise
            except Exception as error:
                # Litestar handles errors of its routes; this covers earlier ones, its own failures and half responses.
                record_error(error)
                await response.fail(error)
            finally:
                # The route template, known only now; never the path, whose values are unbounded.
                route = scope.get("path_template") or "none"
                seconds = (response.stream_started_at or perf_counter()) - started
                self._record(method, route, response.status, seconds)
                _describe(current, method, route, response.status)
        await self._authenticator.settle(scope)

    def _record(self, method: str, route: str, status: int, seconds: float) -> None:
        _histogram(method, route, status).observe(seconds)
        self._on_response(method, route, status, seconds)


class _ResponseSender:
    """An ASGI `send` that adds the common headers and records the status, 500 until a response starts. `without_body`
    drops the body, for HEAD.

    `slot` is released when an event stream starts, because the number of streams has its own limit.
    `stream_started_at` is the time at which an event stream started: the client waits only until then.
    """

    def __init__(self, send: Send, request_id: str, state: Mapping[str, Any], *, without_body: bool) -> None:
        self.status = 500
        self._send = send
        self._state = state
        self._request_id = request_id
        self.started = False
        self._without_body = without_body
        self.slot: Slot | None = None
        self.stream_started_at: float | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            if _is_event_stream(message):
                self.stream_started_at = perf_counter()
                if self.slot:
                    self.slot.release()
            request_id = (b"x-request-id", self._request_id.encode("ascii"))
            message["headers"] = [*message.get("headers", ()), request_id, NOSNIFF]
            if rate_limit_status := self._state.get(RATE_LIMIT_STATUS):
                message["headers"] += rate_limit_headers(rate_limit_status)
            await self._send(message)
        elif not self._without_body:
            await self._send(message)
        elif not message.get("more_body", False):
            await self._send({**message, "body": b""})

    async def fail(self, error: Exception) -> None:
        """Respond with a problem; re-raise `error` if a response has started, so that the server closes the
        connection."""
        if self.started:
            problem_of(error, self._request_id)  # logs it
            raise error
        await send_problem(self, error, self._request_id)


_histogram = cache(HTTP_SECONDS.labels)  # few label sets, and each lookup costs more than the observation


@cache  # few combinations, and classifying costs more than counting
def _classify(method: str, route: str, status: int) -> tuple[bool, bool, bool]:
    """Whether a response counts, is a server failure, and is an order that the server should have accepted."""
    if not route.startswith(API) or route.startswith(UNCOUNTED):
        return False, False, False
    failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    rejected = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return True, failed, (method, route.rstrip("/")) == INGEST_ROUTE and not rejected


def _describe(current: Span, method: str, route: str, status: int) -> None:
    """Set the span's attributes, without path and query, which may contain locations of customers."""
    if not current.is_recording():
        return
    current.update_name(f"{method} {route}")
    current.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        current.set_status(StatusCode.ERROR)


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else "OTHER"


def _until_body_ends(receive: Receive) -> Receive:
    """`receive` for a HEAD request, after whose body the client counts as gone: that ends a response without end."""
    ended = False

    async def message() -> Message:
        nonlocal ended
        if ended:
            return {"type": "http.disconnect"}
        received = await receive()
        ended = not received.get("more_body", False)
        return received

    return message


def _do_nothing() -> None:
    pass


def _is_event_stream(start: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in start["headers"])


def _request_id(scope: Scope) -> str:
    """The client's X-Request-Id if it is a valid identifier, because it goes to logs and headers; else a new id."""
    request_id = header(scope, b"x-request-id") or ""
    return request_id if IDENTIFIER.fullmatch(request_id) else new_text_id()
