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
class Asked:
    """A request: what is special about it; `pieces` come in turn, and `None` never."""

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
        told = [] if self.length is None else [(b"content-length", length if self.length == b"auto" else self.length)]
        return [*self.host, *self.type, *told, *ALWAYS]


def typed(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", value)]


def hosted(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", value) for value in values]


ASKED = [
    Asked("good"),
    Asked("in pieces", [GOOD[:10], GOOD[10:20], GOOD[20:]]),
    Asked("with an empty last piece", [GOOD, b""]),
    Asked("HTTP/1.0", version="1", host=()),
    Asked("without an announced length", length=None),
    Asked("with a charset", type=typed(b"application/json; charset=utf-8")),
    Asked("JSON in capitals", type=typed(b"Application/JSON")),
    Asked("another type", type=typed(b"text/plain")),
    Asked("no type", type=()),
    Asked("two types", type=typed(b"application/json") * 2),
    Asked("empty", [b""]),
    Asked("with a query", query=b"a=1"),
    Asked("with a slash", path=PATH + "/"),
    Asked("with two slashes", path="/" + PATH),
    Asked("with a GET", method="GET", pieces=[b""]),
    Asked("with a PUT", method="PUT"),
    Asked("with OPTIONS", method="OPTIONS", pieces=[b""]),
    Asked("no host", host=()),
    Asked("two hosts", host=hosted(b"a", b"b")),
    Asked("host with an underscore", host=hosted(b"my_host")),
    Asked("host with a dot at the end", host=hosted(b"api.example.")),
    Asked("host that begins with a dot", host=hosted(b".example")),
    Asked("IPv6 host", host=hosted(b"[::1]:8000")),
    Asked("bad host", host=hosted(b"a/b")),
    Asked("too large", [b"x" * (BODY_BYTES_MAX + 1)]),
    Asked("larger than announced", [b"x" * BODY_BYTES_MAX, b"x"], length=b"10"),
    Asked("smaller than announced", [GOOD, GONE], length=b"500"),
    Asked("gone in the middle", [GOOD[:10], GONE]),
    Asked("gone at once", [GONE], length=b"80"),
    Asked("too slow", [GOOD[:10], None]),
    Asked("taken", failure=OrderIdConflict("o-1")),
    Asked("unavailable", failure=Unavailable("PostgreSQL", "no answer from 10.1.2.3", retry_after_seconds=2.5)),
    Asked("stale", failure=StaleOrder("o-1", 1)),
    Asked("broken", failure=RuntimeError("what nobody foresaw at 10.1.2.3")),
    Asked("out of time", failure=TimeoutError()),
    *(Asked(case.name, [case.body]) for case in CASES),
]


DELIVER = f"{PATH}/o-1/deliver"
TAG = (b"if-match", b'"3"')


def delivering(name: str, path: str = DELIVER, *more: tuple[bytes, bytes], **special: Any) -> Asked:
    asked = Asked(name, [b""], path=path, type=more, length=None)
    return replace(asked, **special)


ASKED_TO_DELIVER = [
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
    delivering("delivery of nobody's", f"{PATH}/o-1/eat"),
    delivering("delivery beside", f"{PATH}x/o-1/deliver"),
    delivering("delivery with a GET", method="GET"),
    delivering("delivery with a PUT", method="PUT"),
    delivering("delivery of no order", failure=OrderNotFound("o-1")),
    delivering("delivery too early", failure=InvalidTransition("o-1", "PENDING", "deliver")),
    delivering("delivery stale", failure=StaleOrder("o-1", 1)),
    delivering("delivery unavailable", failure=Unavailable("PostgreSQL", "no answer from 10.1.2.3")),
    delivering("delivery broken", failure=RuntimeError("what nobody foresaw at 10.1.2.3")),
]


@dataclass
class Heard:
    """All that an answer leaves: messages of ASGI, what was counted, and what was logged."""

    start: Message = field(default_factory=dict[str, Any])
    body: bytes = b""
    counted: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    logged: list[str] = field(default_factory=list[str])


@dataclass
class Creating:
    """Accepts all orders at the same moment; asked again it says so; or fails."""

    failure: Exception | None = None
    known: dict[str, Order] = field(default_factory=dict[str, Order])

    async def __call__(self, order: Order, *, own: bool = False) -> tuple[Order, bool]:
        assert not own
        if self.failure:
            raise self.failure
        order.created_at = ACCEPTED
        kept = self.known.setdefault(order.id, order)
        return kept, kept is order


@dataclass
class Delivering:
    """Delivers whatever it is asked to, whichever version it has; or fails."""

    failure: Exception | None = None

    async def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Order:
        assert owner is None
        if self.failure:
            raise self.failure
        told = "-".join(str(version) for version in sorted(versions)) if versions else "any"
        order = an_order(order_id, Status.DELIVERED, driver_id=f"{by}-of-{told}")  # so that the answer shows it
        order.created_at = order.pending_since = order.as_of = ACCEPTED
        order.dispatched_at = order.delivered_at = ACCEPTED
        return order


@dataclass(frozen=True)
class Ways:
    """Both of them, over the same routes."""

    creating: Creating
    delivering: Delivering
    usual: ASGIApp

    async def answers(self, asked: Asked, *, short: bool, times: int = 1) -> list[Heard]:
        self.creating.failure = self.delivering.failure = asked.failure
        self.creating.known.clear()
        way = FastPath(self.usual, self.creating, self.delivering) if short else self.usual
        return [await answer(asked, way) for _ in range(times)]


@pytest.fixture(scope="module")
def ways() -> Ways:
    creating, delivering = Creating(), Delivering()
    api = replace(World().api(), create_order=creating, deliver_order=delivering)
    return Ways(creating, delivering, cast("ASGIApp", litestar_app(api)))


async def answer(asked: Asked, app: ASGIApp) -> Heard:
    heard, pieces = Heard(), list(asked.pieces)

    async def receive() -> Message:
        piece = pieces.pop(0)
        if piece is None:
            await asyncio.Event().wait()
        if isinstance(piece, bytes):
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
        return dict(piece or {})

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            heard.start = {key: list(value) if key == "headers" else value for key, value in message.items()}
        else:
            heard.body += message["body"]

    def count(method: str, route: str, status: int, seconds: float) -> None:
        heard.counted.append((method, route, status))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": asked.version,
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 40_000),
        "method": asked.method,
        "path": asked.path,
        "raw_path": asked.path.encode(),
        "query_string": asked.query,
        "root_path": "",
        "headers": asked.headers,
        "state": {},
        "extensions": {},
    }
    with logged() as lines:
        async with exporting("test", ""):
            await RequestMiddleware(app, body_seconds=0.05, on_response=count)(scope, receive, send)
    heard.logged = [line.split("Traceback")[0] for line in lines]
    return heard


@pytest.mark.parametrize("asked", [*ASKED, *ASKED_TO_DELIVER], ids=lambda asked: asked.name)
async def test_fast_path_and_framework_respond_identically(ways: Ways, asked: Asked) -> None:
    short, usual = [await ways.answers(asked, short=one) for one in (True, False)]

    assert short == usual
    assert short[0].start["status"] >= 200
    assert len(short[0].counted) == 1


async def test_both_respond_identically_to_a_repeated_request(ways: Ways) -> None:
    short, usual = [await ways.answers(Asked("good"), short=one, times=2) for one in (True, False)]

    assert short == usual
    assert [one.start["status"] for one in short] == [201, 200]
    assert short[0].body == short[1].body


async def nowhere(*_: object) -> None:
    raise AssertionError("the request went to the framework")


@pytest.mark.parametrize("body", [GOOD, ANONYMOUS, b'{"price":"1"}', b"{"])
async def test_a_usual_new_order_takes_the_fast_path(body: bytes) -> None:
    heard = await answer(Asked("ordinary", [body]), FastPath(nowhere, Creating(), Delivering()))

    assert heard.counted == [("POST", PATH, heard.start["status"])]
    assert heard.start["status"] < 500


@pytest.mark.parametrize("length", [None, b"0"])
async def test_a_usual_delivery_takes_the_fast_path(length: bytes | None) -> None:
    short = FastPath(nowhere, Creating(), Delivering())

    heard = await answer(delivering("ordinary", length=length), short)

    assert heard.counted == [("POST", f"{PATH}/{{order_id}}/deliver", 200)]


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
    """The fast path steps aside instead of bypassing the addition."""
    recorder = Recorder()
    added = {"guards": recorder.guard, "middleware": recorder, "before_send": recorder.before_send}[hook]

    def extended(*args: Any, **options: Any) -> Litestar:
        return Litestar(*args, **{**options, hook: [*options.get(hook, ()), added]})

    monkeypatch.setattr(application, "Litestar", extended)
    api = replace(World().api(), create_order=Creating(), deliver_order=Delivering())
    app = api_app(api)

    created = await answer(Asked("good"), app)
    delivered = await answer(delivering("delivery"), app)

    assert [created.start["status"], delivered.start["status"]] == [201, 200]
    assert recorder.paths == [PATH, DELIVER]
