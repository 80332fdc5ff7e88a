"""Load shedding: a request beyond the limit is rejected at once, and requests in flight are answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from statistics import mean, pstdev
from typing import Any

import httpx
import pytest

from gofleet.adapters.http import middleware
from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.asgi import Send
from gofleet.adapters.http.error_handler import send_overloaded
from gofleet.adapters.http.load_shedding import REQUESTS_MIN, ConcurrencyLimit, LoadShedder, Overloaded, Slot
from gofleet.adapters.http.middleware import RequestCounter
from gofleet.adapters.http.server import serving
from gofleet.domain.indicators import RequestCounts
from gofleet.domain.order import Order
from gofleet.testing.orders import MemoryIndicators
from tests.logs import logged
from tests.roles.conftest import World
from tests.telemetry.moved import moved
from tests.waiting import eventually

ORDERS = "/api/v1/orders"
ORDER = {"price": 10, "tax": 1}
BODY = b'{"price":10,"tax":1}'
HEAD = b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
    BODY
)
REFUSED = "gofleet_requests_refused_total"


@dataclass
class Slow:
    """Creates no order before the test allows it."""

    may: asyncio.Event = field(default_factory=asyncio.Event)
    in_hand: int = 0

    async def __call__(self, order: Order, *, own: bool = False, may_be_new: bool = True) -> tuple[Order, bool]:
        self.in_hand += 1
        try:
            await self.may.wait()
        finally:
            self.in_hand -= 1
        order.created_at = datetime.now(UTC)
        return order, True

    async def holds(self, count: int) -> None:
        await eventually(lambda: self.in_hand == count)


@dataclass(frozen=True)
class Busy:
    slow: Slow
    client: httpx.AsyncClient
    port: int

    def ask(self) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(self.client.post(ORDERS, json=ORDER))


@asynccontextmanager
async def busy(world: World, most: int, counter: RequestCounter | None = None) -> AsyncGenerator[Busy]:
    """An API with a limit of `most` concurrent requests and a slow creation of orders."""
    slow = Slow()
    app = api_app(replace(world.api(), create_order=slow), load_shedder=LoadShedder(most), counter=counter)
    async with (
        serving(app, "127.0.0.1", 0, grace_seconds=2) as listening,
        httpx.AsyncClient(base_url=listening.url, timeout=10, trust_env=False) as client,
    ):
        try:
            yield Busy(slow, client, listening.port)
        finally:
            slow.may.set()
            world.stopping.set()


def is_overloaded(answer: httpx.Response) -> bool:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["request_id"] == answer.headers["x-request-id"]
    return (answer.status_code, problem["type"], answer.headers["retry-after"]) == (503, "/problems/overcrowded", "1")


async def test_rejects_at_once_beyond_the_limit_and_answers_the_rest(world: World) -> None:
    async with busy(world, 3) as api:
        request = [api.ask() for _ in range(3)]
        await api.slow.holds(3)
        with moved(REFUSED, requests="new orders", up=2), logged() as lines:
            assert is_overloaded(await api.ask())
            assert is_overloaded(await api.ask())
        assert len([line for line in lines if "server overloaded" in line]) == len(lines) == 1
        assert not any(task.done() for task in request)
        api.slow.may.set()

        assert [answer.status_code for answer in await asyncio.gather(*request)] == [201] * 3
        assert (await api.ask()).status_code == 201


@dataclass
class Orders:
    """Orders that compete for a limit, in a time of its own."""

    maximum: int
    now: float = 0.0

    def __post_init__(self) -> None:
        self.limit = ConcurrencyLimit("new orders", ORDERS, self.maximum, target_seconds=0.1, clock=lambda: self.now)

    def begin(self, count: int) -> list[float]:
        return [self.limit.start() for _ in range(count)]

    def end(self, began: list[float], after: float) -> int:
        """All of them end after that many seconds; returns the limit."""
        self.now += after
        for each in began:
            self.limit.finish(each)
        return self.limit.current

    def rounds(self, count: int, seconds: float) -> int:
        for _ in range(count):
            self.end(self.begin(1), seconds)
        return self.limit.current


def test_the_limit_shrinks_while_orders_are_slow_and_recovers() -> None:
    orders = Orders(64)

    assert orders.rounds(1, 0.09) == 64
    assert 25 < orders.rounds(4, 0.11) < 40
    assert orders.rounds(1000, 5.0) == REQUESTS_MIN
    orders.begin(REQUESTS_MIN)
    with pytest.raises(Overloaded, match=f"limit of {REQUESTS_MIN} "):
        orders.begin(1)
    orders.limit.in_flight = 0
    assert REQUESTS_MIN < orders.rounds(8, 0.01) < 64
    assert orders.rounds(1000, 0.01) == 64


def test_a_low_maximum_does_not_shrink() -> None:
    assert Orders(3).rounds(1000, 9.0) == 3


def test_a_late_batch_counts_once() -> None:
    """Its orders end together, and each was late. The first that ends belongs to the round of the batch before."""
    orders = Orders(64)

    assert orders.end(orders.begin(64), after=1.0) == 51
    assert orders.end(orders.begin(51), after=0.01) == 53
    assert orders.end(orders.begin(53), after=1.0) == 55
    assert orders.end(orders.begin(55), after=0.01) == 44
    assert orders.end(orders.begin(44), after=0.01) == 46


def test_late_batches_do_not_make_the_limit_swing() -> None:
    """Batches of up to 64 under constant overload, of which one in twenty takes three times as long. When each order of
    a late batch shrank the limit, it varied by 42 % of its mean."""
    orders, random = Orders(256), Random(1)  # noqa: S311  reproducible
    waiting, seen = list[float](), list[int]()
    for _ in range(2000):
        waiting += orders.begin(max(orders.limit.current - orders.limit.in_flight, 0))
        batch, waiting = waiting[:64], waiting[64:]
        seconds = 0.01 + 0.0012 * len(batch)
        seen.append(orders.end(batch, seconds * (3 if random.random() < 0.05 else 1)))

    settled = seen[1000:]
    assert pstdev(settled) < 0.2 * mean(settled)
    assert 50 < mean(settled) < 80


def test_the_limit_of_other_requests_does_not_adapt() -> None:
    """Fewer requests do not make a slow fleet faster."""
    shedder = LoadShedder(64, target_seconds=1e-9)
    scopes = {path: {"method": "POST", "path": path} for path in (ORDERS, f"{ORDERS}/o-1/deliver")}
    limits = {path: shedder.limit_for(scope) for path, scope in scopes.items()}
    present: dict[str, int] = {}
    for path, limit in limits.items():
        assert limit
        for _ in range(1000):
            slot = Slot(limit)
            slot.acquire()
            slot.release()
        present[path] = limit.current

    assert present == {ORDERS: REQUESTS_MIN, f"{ORDERS}/o-1/deliver": 64}


async def test_rejects_before_the_body_is_sent(world: World) -> None:
    async with busy(world, 1) as api:
        request = api.ask()
        await api.slow.holds(1)
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(HEAD)
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        api.slow.may.set()

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert (await request).status_code == 201


async def test_orders_do_not_block_other_requests_health_and_streams(world: World) -> None:
    async with busy(world, 1) as api:
        request = api.ask()
        await api.slow.holds(1)
        async with api.client.stream("GET", ORDERS + "/stream") as stream:
            assert stream.status_code == 200
            for path in (ORDERS, "/health/live", "/health/ready", ORDERS):
                assert (await api.client.get(path)).status_code == 200
            world.stopping.set()
        assert is_overloaded(await api.ask())
        api.slow.may.set()
        await request


async def test_other_requests_do_not_block_orders(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, entered = asyncio.Event(), asyncio.Event()

    async def hang(*_: object) -> list[Order]:
        entered.set()
        await gate.wait()
        return []

    monkeypatch.setattr(world.orders, "list", hang)
    async with busy(world, 1) as api:
        api.slow.may.set()
        listing = asyncio.create_task(api.client.get(ORDERS))
        await entered.wait()
        with moved(REFUSED, requests="others"):
            assert is_overloaded(await api.client.get(ORDERS))
        assert (await api.ask()).status_code == 201
        assert (await api.client.get("/health/ready")).status_code == 200
        gate.set()
        assert (await listing).status_code == 200


async def test_a_slow_sender_holds_no_slot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its late rejection equals the pre-rendered one of a request rejected at once, to the byte."""
    at_once: list[int] = []

    async def counted(send: Send, most: int, request_id: str) -> int:
        at_once.append(most)
        return await send_overloaded(send, most, request_id)

    monkeypatch.setattr(middleware, "send_overloaded", counted)
    named = HEAD.replace(b"Host:", b"X-Request-Id: r-1\r\nHost:")
    async with busy(world, 1) as api:
        slow, slow_writer = await asyncio.open_connection("127.0.0.1", api.port)
        slow_writer.write(named + BODY[:5])
        await slow_writer.drain()
        assert (await api.client.get("/health/live")).status_code == 200  # so its head has arrived
        request = api.ask()
        await api.slow.holds(1)
        quick, quick_writer = await asyncio.open_connection("127.0.0.1", api.port)
        quick_writer.write(named + BODY)
        at_once_answer = await _answer(quick)
        slow_writer.write(BODY[5:])  # now another request has the slot
        assert await _answer(slow) == at_once_answer
        for writer in (slow_writer, quick_writer):
            writer.close()
        api.slow.may.set()

        assert (await request).status_code == 201
    assert at_once == [1]
    assert b"http/1.1 503 service unavailable" in at_once_answer[0]
    assert b"r-1" in at_once_answer[1]


async def _answer(reader: asyncio.StreamReader) -> tuple[set[bytes], bytes]:
    """Header lines without the date, and the body."""
    async with asyncio.timeout(5):
        lines = (await reader.readuntil(b"\r\n\r\n")).lower().splitlines()
        [length] = [int(line.removeprefix(b"content-length: ")) for line in lines if line.startswith(b"content-length")]
        return {line for line in lines if not line.startswith(b"date")}, await reader.readexactly(length)


async def test_a_disconnect_releases_the_slot(world: World) -> None:
    async with busy(world, 1) as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(HEAD + BODY)
        await api.slow.holds(1)
        writer.close()
        api.slow.may.set()
        await api.slow.holds(0)

        assert (await api.ask()).status_code == 201


@pytest.mark.parametrize("ends", ["cancelled", "failed"])
async def test_a_cancelled_or_failed_request_releases_the_slot(world: World, ends: str) -> None:
    slow = Slow()
    app = api_app(replace(world.api(), create_order=slow), load_shedder=LoadShedder(1))
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        if ends == "failed":
            raise ConnectionResetError
        statuses.append(message.get("status", 0))

    async def request() -> None:
        headers = [(b"host", b"x"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
        scope = {"type": "http", "method": "POST", "path": ORDERS, "query_string": b"", "headers": headers}
        await app({**scope, "http_version": "1.1"}, receive, send)

    for _ in range(3):
        one = asyncio.create_task(request())
        await slow.holds(1)
        if ends == "cancelled":
            one.cancel()
        slow.may.set()
        await asyncio.wait({one})
        assert one.cancelled() == (ends == "cancelled")
        assert one.cancelled() or one.exception()
        slow.may.clear()


async def test_a_rejected_order_counts_as_failed(world: World) -> None:
    counter, indicators = RequestCounter(), MemoryIndicators(world.orders)
    async with busy(world, 1, counter) as api:
        request = api.ask()
        await api.slow.holds(1)
        name = "gofleet_http_request_duration_seconds_count"
        with moved(name, method="POST", route=ORDERS, status="503"):
            assert is_overloaded(await api.ask())
        api.slow.may.set()
        await request
    await counter.flush(indicators)

    [(_, counts)] = indicators.counts.values()
    assert (counts.answered, counts.failed, counts.ingests) == (2, 1, 2)
    assert counts != RequestCounts()


async def test_the_connection_stays_open_after_a_rejection(world: World) -> None:
    async with busy(world, 1) as api:
        request = api.ask()
        await api.slow.holds(1)
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        for status in (b"503", b"201"):
            writer.write(HEAD + BODY)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split()[1] == status
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            api.slow.may.set()
            await request
        writer.close()
