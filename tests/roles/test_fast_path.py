"""The fast path and the framework give identical responses, and unusual requests go to the framework."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware

from gofleet.adapters.http import app as application
from gofleet.adapters.http.app import api_app, litestar_app
from gofleet.adapters.http.asgi import ASGIApp, Message
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.fast_path import FastPath, with_fast_path
from gofleet.adapters.http.middleware import RequestMiddleware
from gofleet.adapters.http.request_limits import BODY_BYTES_MAX
from gofleet.domain.errors import InvalidTransition, OrderIdConflict, OrderNotFound, StaleOrder, Unavailable
from gofleet.domain.order import Order, Owner, Status
from gofleet.domain.principal import Actor
from gofleet.telemetry.exporting import exporting
from gofleet.usecases.transitions import Versions
from tests.logs import logged
from tests.makers import an_order
from tests.roles.conftest import World
from tests.roles.test_api_input import CASES

PATH = "/api/v1/orders"
GOOD = b'{"id":"o-1","price":100.5,"tax":10,"pickup":{"lat":-23.5505,"lng":-46.6333}}'
ANONYMOUS = b'{"price":0.1,"tax":0.2}'
ACCEPTED = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)
TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
ALWAYS = [(b"x-request-id", b"r-1"), (b"traceparent", TRACEPARENT)]
HOST = [(b"host", b"127.0.0.1:8000")]
JSON = [(b"content-type", b"application/json")]
GONE = {"type": "http.disconnect"}


@dataclass(frozen=True)
class Request:
    """A request that differs from the usual one; `pieces` of its body arrive in turn, `None` never does."""

    name: str
    pieces: Sequence[bytes | dict[str, str] | None] = (GOOD,)
    method: str = "POST"
    path: str = PATH
    query: bytes = b""
    type: Sequence[tuple[bytes, bytes]] = tuple(JSON)
    host: Sequence[tuple[bytes, bytes]] = tuple(HOST)
    length: bytes | None = b"auto"
    failure: Exception | None = None
    version: str = "1.1"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        length = b"%d" % sum(len(piece) for piece in self.pieces if isinstance(piece, bytes))
        content_length = (
            [] if self.length is None else [(b"content-length", length if self.length == b"auto" else self.length)]
        )
        return [*self.host, *self.type, *content_length, *ALWAYS]


def typed(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", value)]


def keyed(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [*JSON, *((b"idempotency-key", value) for value in values)]


def hosted(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", value) for value in values]


REQUESTS = [
    Request("good"),
    Request("in pieces", [GOOD[:10], GOOD[10:20], GOOD[20:]]),
    Request("with an empty last piece", [GOOD, b""]),
    Request("HTTP/1.0", version="1", host=()),
    Request("without an announced length", length=None),
    Request("with a charset", type=typed(b"application/json; charset=utf-8")),
    Request("JSON in capitals", type=typed(b"Application/JSON")),
    Request("another type", type=typed(b"text/plain")),
    Request("no type", type=()),
    Request("two types", type=typed(b"application/json") * 2),
    Request("empty", [b""]),
    Request("compressed", type=[*JSON, (b"content-encoding", b"gzip")]),
    Request("not compressed", type=[*JSON, (b"content-encoding", b"identity")]),
    Request("expecting 100", type=[*JSON, (b"expect", b"100-continue")]),
    Request("too large, expecting 100", [b"x" * (BODY_BYTES_MAX + 1)], type=[*JSON, (b"expect", b"100-continue")]),
    Request("with a key", [ANONYMOUS], type=keyed(b"cart-7")),
    Request("with a quoted key", [ANONYMOUS], type=keyed(b'"cart-7"')),
    Request("with its id as the key", type=keyed(b"o-1")),
    Request("with another key", type=keyed(b"cart-7")),
    Request("with another key and a fault", [b'{"price":1}'], type=keyed(b"cart 7")),
    Request("with two keys", [ANONYMOUS], type=keyed(b"cart-7", b"cart-7")),
    *(
        Request(f"with the key {key!r}", [ANONYMOUS], type=keyed(key))
        for key in (
            b"",
            b'""',
            b'"',
            b"null",
            b"a b",
            b"a, b",
            b'"a";b=1',
            b"\xe9",
            b"a" * 65,
            b".",
            b"stream",
            b"own-1",
        )
    ),
    Request("with an encoded slash", path="/api/v1%2Forders"),
    Request("with a query", query=b"a=1"),
    Request("with a slash", path=PATH + "/"),
    Request("with two slashes", path="/" + PATH),
    Request("with a GET", method="GET", pieces=[b""]),
    Request("with a PUT", method="PUT"),
    Request("with OPTIONS", method="OPTIONS", pieces=[b""]),
    Request("no host", host=()),
    Request("two hosts", host=hosted(b"a", b"b")),
    Request("host with an underscore", host=hosted(b"my_host")),
    Request("host with a dot at the end", host=hosted(b"api.example.")),
    Request("host that begins with a dot", host=hosted(b".example")),
    Request("IPv6 host", host=hosted(b"[::1]:8000")),
    Request("bad host", host=hosted(b"a/b")),
    Request("too large", [b"x" * (BODY_BYTES_MAX + 1)]),
    Request("larger than announced", [b"x" * BODY_BYTES_MAX, b"x"], length=b"10"),
    Request("smaller than announced", [GOOD, GONE], length=b"500"),
    Request("gone in the middle", [GOOD[:10], GONE]),
    Request("gone at once", [GONE], length=b"80"),
    Request("too slow", [GOOD[:10], None]),
    Request("taken", failure=OrderIdConflict("o-1")),
    Request("unavailable", failure=Unavailable("PostgreSQL", "no answer from 10.1.2.3", retry_after_seconds=2.5)),
    Request("stale", failure=StaleOrder("o-1", 1)),
    Request("broken", failure=RuntimeError("unexpected at 10.1.2.3")),
    Request("out of time", failure=TimeoutError()),
    *(Request(case.name, [case.body]) for case in CASES),
]


DELIVER = f"{PATH}/o-1/deliver"
TAG = (b"if-match", b'"3"')


def delivering(name: str, path: str = DELIVER, *more: tuple[bytes, bytes], **special: Any) -> Request:
    request = Request(name, [b""], path=path, type=more, length=None)
    return replace(request, **special)


DELIVERIES = [
    delivering("delivery"),
    delivering("delivery of length 0", length=b"0"),
    delivering("delivery with a type", DELIVER, *JSON),
    delivering("delivery with a tag", DELIVER, TAG),
    delivering("delivery with an empty tag", DELIVER, (b"if-match", b"")),
    delivering("delivery with a bad tag", DELIVER, (b"if-match", b"3")),
    delivering("delivery with a body", pieces=[b"{}"], length=b"auto"),
    delivering("delivery in chunks", DELIVER, (b"transfer-encoding", b"chunked")),
    delivering("delivery too large", pieces=[b"x" * (BODY_BYTES_MAX + 1)], length=b"auto"),
    delivering("delivery with a query", query=b"a=1"),
    delivering("delivery with a slash", f"{DELIVER}/"),
    delivering("delivery of nothing", f"{PATH}//deliver"),
    delivering("delivery of a bad id", f"{PATH}/a b/deliver"),
    delivering("delivery of an id with a line", f"{PATH}/a\n/deliver"),
    delivering("delivery of a long id", f"{PATH}/{'a' * 65}/deliver"),
    delivering("delivery of an id with a slash", f"{PATH}/a/b/deliver"),
    delivering("delivery in capitals", f"{PATH}/o-1/DELIVER"),
    delivering("another action", f"{PATH}/o-1/eat"),
    delivering("delivery beside", f"{PATH}x/o-1/deliver"),
    delivering("delivery with a GET", method="GET"),
    delivering("delivery with a PUT", method="PUT"),
    delivering("delivery of no order", failure=OrderNotFound("o-1")),
    delivering("delivery too early", failure=InvalidTransition("o-1", "PENDING", "deliver")),
    delivering("delivery stale", failure=StaleOrder("o-1", 1)),
    delivering("delivery unavailable", failure=Unavailable("PostgreSQL", "no answer from 10.1.2.3")),
    delivering("delivery broken", failure=RuntimeError("unexpected at 10.1.2.3")),
]


@dataclass
class Response:
    """The ASGI messages of a response, and what was counted and logged."""

    start: Message = field(default_factory=dict[str, Any])
    body: bytes = b""
    counted: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    logged: list[str] = field(default_factory=list[str])


@dataclass
class Creating:
    """Creates every order at the same time, once; or fails."""

    failure: Exception | None = None
    known: dict[str, Order] = field(default_factory=dict[str, Order])

    async def __call__(self, order: Order, *, own: bool = False, may_be_new: bool = True) -> tuple[Order, bool]:
        assert not own
        assert may_be_new
        if self.failure:
            raise self.failure
        order.created_at = order.pending_since = ACCEPTED
        kept = self.known.setdefault(order.id, order)
        return kept, kept is order


@dataclass
class Delivering:
    """Delivers any order of any version; or fails."""

    failure: Exception | None = None

    async def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Order:
        assert owner is None
        if self.failure:
            raise self.failure
        matched = "-".join(str(version) for version in sorted(versions)) if versions else "any"
        order = an_order(order_id, Status.DELIVERED, driver_id=f"{by}-of-{matched}")  # so that the answer shows it
        order.created_at = order.pending_since = order.as_of = ACCEPTED
        order.dispatched_at = order.delivered_at = ACCEPTED
        return order


@dataclass(frozen=True)
class BothPaths:
    """The fast path and the framework, over the same routes."""

    creating: Creating
    delivering: Delivering
    usual: ASGIApp

    async def answers(self, request: Request, *, short: bool, times: int = 1) -> list[Response]:
        self.creating.failure = self.delivering.failure = request.failure
        self.creating.known.clear()
        path_taken = FastPath(self.usual, self.creating, self.delivering) if short else self.usual
        return [await answer(request, path_taken) for _ in range(times)]


@pytest.fixture(scope="module")
def both() -> BothPaths:
    creating, delivering = Creating(), Delivering()
    api = replace(World().api(), create_order=creating, deliver_order=delivering)
    return BothPaths(creating, delivering, cast("ASGIApp", litestar_app(api)))


async def answer(request: Request, app: ASGIApp) -> Response:
    response, pieces = Response(), list(request.pieces)

    async def receive() -> Message:
        piece = pieces.pop(0)
        if piece is None:
            await asyncio.Event().wait()
        if isinstance(piece, bytes):
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
        return dict(piece or {})

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            response.start = {key: list(value) if key == "headers" else value for key, value in message.items()}
        else:
            response.body += message["body"]

    def count(method: str, route: str, status: int, seconds: float) -> None:
        response.counted.append((method, route, status))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.version,
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 40_000),
        "method": request.method,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": request.query,
        "root_path": "",
        "headers": request.headers,
        "state": {},
        "extensions": {},
    }
    with logged() as lines:
        async with exporting("test", ""):
            await RequestMiddleware(app, body_seconds=0.05, on_response=count)(scope, receive, send)
    response.logged = [line.split("Traceback")[0] for line in lines]
    return response


@pytest.mark.parametrize("sent", [*REQUESTS, *DELIVERIES], ids=lambda sent: sent.name)
async def test_fast_path_and_framework_respond_identically(both: BothPaths, sent: Request) -> None:
    short, usual = [await both.answers(sent, short=one) for one in (True, False)]

    assert short == usual
    assert short[0].start["status"] >= 200
    assert len(short[0].counted) == 1


async def test_both_respond_identically_to_a_repeated_request(both: BothPaths) -> None:
    short, usual = [await both.answers(Request("good"), short=one, times=2) for one in (True, False)]

    assert short == usual
    assert [one.start["status"] for one in short] == [201, 200]
    assert short[0].body == short[1].body


async def nowhere(*_: object) -> None:
    raise AssertionError("the request went to the framework")


@pytest.mark.parametrize("body", [GOOD, ANONYMOUS, b'{"price":"1"}', b"{"])
async def test_a_usual_new_order_takes_the_fast_path(body: bytes) -> None:
    response = await answer(Request("ordinary", [body]), FastPath(nowhere, Creating(), Delivering()))

    assert response.counted == [("POST", PATH, response.start["status"])]
    assert response.start["status"] < 500


@pytest.mark.parametrize("length", [None, b"0"])
async def test_a_usual_delivery_takes_the_fast_path(length: bytes | None) -> None:
    short = FastPath(nowhere, Creating(), Delivering())

    response = await answer(delivering("ordinary", length=length), short)

    assert response.counted == [("POST", f"{PATH}/{{order_id}}/deliver", 200)]


def test_the_api_uses_the_fast_path() -> None:
    api, authenticator = World().api(), Authenticator()

    app = with_fast_path(litestar_app(api, authenticator), api.create_order, api.deliver_order, authenticator)

    assert isinstance(app, FastPath)


class Recorder(ASGIMiddleware):
    """Counts the requests that pass it, as a middleware and as a guard."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        self.paths.append(scope["path"])
        await next_app(scope, receive, send)

    def guard(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        self.paths.append(connection.url.path)

    async def before_send(self, message: Any, scope: Any) -> None:
        if message["type"] == "http.response.start":
            self.paths.append(scope["path"])


@pytest.mark.parametrize("hook", ["guards", "middleware", "before_send"])
async def test_a_hook_added_to_the_application_runs_for_the_hot_routes(
    monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    """The fast path passes the requests on instead of bypassing the addition."""
    recorder = Recorder()
    added = {"guards": recorder.guard, "middleware": recorder, "before_send": recorder.before_send}[hook]

    def extended(*args: Any, **options: Any) -> Litestar:
        return Litestar(*args, **{**options, hook: [*options.get(hook, ()), added]})

    monkeypatch.setattr(application, "Litestar", extended)
    api = replace(World().api(), create_order=Creating(), deliver_order=Delivering())
    app = api_app(api)

    created = await answer(Request("good"), app)
    delivered = await answer(delivering("delivery"), app)

    assert [created.start["status"], delivered.start["status"]] == [201, 200]
    assert recorder.paths == [PATH, DELIVER]
