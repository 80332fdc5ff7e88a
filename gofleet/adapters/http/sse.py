"""Server-sent events (HTML Living Standard, 9.2): what they look like on the wire, and how they are sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import msgspec
from litestar.response.base import ASGIResponse
from loguru import logger

from gofleet.adapters.history_feed import HistoryFeed
from gofleet.adapters.http.asgi import Receive, Scope, Send
from gofleet.adapters.http.auth import ANONYMOUS_CALLER, Caller
from gofleet.adapters.http.driver_positions import DriverPositionFeed
from gofleet.adapters.http.pagination import resume_token
from gofleet.adapters.http.problem_types import RequestError
from gofleet.adapters.http.schemas.events import EventView
from gofleet.domain.errors import RateLimitExceeded, UnknownCursor
from gofleet.domain.history import HistoryCursor, HistoryFilter
from gofleet.domain.place import BoundingBox
from gofleet.telemetry.metrics import OPEN_STREAMS
from gofleet.waiting import first_of

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 2000
"""How long a client that lost its stream waits before it comes again."""
CLOSE_TIMEOUT_SECONDS = 0.3
"""How long the last word may take."""
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events back until it has a buffer full of them
)

CANCEL_RETRY_SECONDS = 0.1
"""Between two tries to end something."""

Write = Callable[[bytes], Awaitable[None]]
Producer = Callable[[Write], Awaitable[None]]
"""Writes what there is to write, for as long as there is any."""


def format_opening(id: str) -> bytes:
    """The first thing that is sent. A client that loses its stream before anything happened comes again with `id`."""
    return f"retry: {RETRY_MS}\n: hello\nid: {id}\n\n".encode()


def format_event(type: str, data: bytes, id: str | None = None) -> bytes:
    """One event; `data` is one line."""
    head = f"event: {type}\n" if id is None else f"id: {id}\nevent: {type}\n"
    return head.encode() + b"data: " + data + b"\n\n"


def format_keep_alive(id: str) -> bytes:
    """No event, but bytes on the wire; what was looked at until now need not be looked at again."""
    return f": still here\nid: {id}\n\n".encode()


class SlowClient(Exception):
    """The client did not take what was sent in time."""


class StreamingResponse(ASGIResponse):
    """Sends `first` and then what the pumps write, until one of them ends, the client goes away, or `stopping` is set.

    `opened` is entered meanwhile. A client that takes nothing for `send_seconds` is cut off: the server holds us back
    when it has sent all that the system keeps for one connection.
    """

    def __init__(
        self,
        first: bytes,
        pumps: Sequence[Producer],
        *,
        opened: AbstractContextManager[None],
        stopping: asyncio.Event,
        send_seconds: float,
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._first = first
        self._pumps = pumps
        self._opened = opened
        self._stopping = stopping
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  Litestar's types are narrower
        turn = asyncio.Lock()

        async def write(body: bytes) -> None:
            async with turn:
                try:
                    async with asyncio.timeout(self._send_seconds):
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                except TimeoutError as error:
                    raise SlowClient from error

        with self._opened:
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            await write(self._first)
            try:
                await self._pump(write, receive)
            except SlowClient:
                logger.warning("stream cut off: its client takes nothing")
            except UnknownCursor:
                pass  # the database is another one by now; who comes again with the last id is told so
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, write: Write, receive: Receive) -> None:
        tasks = [asyncio.ensure_future(pump(write)) for pump in self._pumps]
        tasks.append(asyncio.create_task(_gone(receive)))
        try:
            await first_of(*tasks, self._stopping)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            await _ended(tasks)


async def _ended(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Cancel them until they are. Once is not enough: in Python 3.11 `wait_for`, on which psycopg waits, does not
    notice it when what it waited for comes at the same moment."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_RETRY_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


_encoder = msgspec.json.Encoder()


class TooManyStreams(RequestError):
    """This process holds as many as it may."""

    code = "too-many-streams"

    def __init__(self, most: int, retry_after_seconds: float) -> None:
        super().__init__(f"{most} streams are open, which is as many as there may be")
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class EventStreamLimits:
    """`most` streams of one process, `each` of one customer or driver; a stream is sent something at least every
    `keep_alive_seconds`, and cut off when it takes nothing for `send_seconds`."""

    streams_max: int = 500
    streams_per_owner_max: int = 5
    keep_alive_seconds: float = 15.0
    send_seconds: float = 10.0


class EventStreams:
    """Every stream ends when `stopping` is set."""

    def __init__(
        self,
        feed: HistoryFeed,
        *,
        stopping: asyncio.Event,
        positions: DriverPositionFeed,
        limits: EventStreamLimits | None = None,
    ) -> None:
        self._tail = feed
        self._stopping = stopping
        self._bounds = limits or EventStreamLimits()
        self._moves = positions
        self._open = 0
        self._each = Counter[str]()

    def response(
        self, moment: HistoryCursor, which: HistoryFilter, box: BoundingBox | None, caller: Caller = ANONYMOUS_CALLER
    ) -> StreamingResponse:
        """What happens behind `moment`, and how drivers move in `box`, as the caller may see it. `TooManyStreams`."""
        if self._open >= self._bounds.streams_max:
            raise TooManyStreams(self._bounds.streams_max, self._bounds.keep_alive_seconds)
        name = None if caller.owner is None else caller.principal.subject
        if name is not None and self._each[name] >= self._bounds.streams_per_owner_max:
            raise RateLimitExceeded(self._bounds.keep_alive_seconds)
        pumps: list[Producer] = [partial(self._orders, moment, which, caller)]
        if box is not None:
            pumps.append(partial(self._drivers, self._moves, box))
        return StreamingResponse(
            format_opening(resume_token(moment)),
            pumps,
            opened=self._opened(name),
            stopping=self._stopping,
            send_seconds=self._bounds.send_seconds,
        )

    async def _orders(self, moment: HistoryCursor, which: HistoryFilter, caller: Caller, write: Write) -> None:
        while True:
            found = await self._tail.after(moment, which, self._bounds.keep_alive_seconds)
            moment = found.until
            if not found.entries:
                await write(format_keep_alive(resume_token(moment)))
                continue
            views = [(EventView.of(entry, caller), resume_token(entry.cursor)) for entry in found.entries]
            await write(b"".join(format_event(view.type, _encoder.encode(view), id) for view, id in views))

    async def _drivers(self, moves: DriverPositionFeed, box: BoundingBox, write: Write) -> None:
        with moves.watch(box) as watch:
            while True:
                if changed := await watch.changes():
                    await write(b"".join(format_event("driver.moved", _encoder.encode(moved)) for moved in changed))

    @contextmanager
    def _opened(self, name: str | None) -> Generator[None]:
        self._open += 1
        self._each.update([name] if name else [])
        OPEN_STREAMS.inc()
        try:
            with self._tail.subscribed():
                yield
        finally:
            self._open -= 1
            if name:
                self._each[name] -= 1
                self._each += Counter[str]()  # forgets who has none
            OPEN_STREAMS.dec()
