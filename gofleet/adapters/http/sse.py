"""Server-sent events (HTML Living Standard, section 9.2): their format, the response that sends them, and the streams
that clients hold open."""

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
from gofleet.adapters.http.auth import ANONYMOUS_CALLER, Caller, Recheck
from gofleet.adapters.http.driver_positions import DriverPositionFeed
from gofleet.adapters.http.pagination import resume_token
from gofleet.adapters.http.problem_types import RequestError
from gofleet.adapters.http.schemas.events import DriverGoneView, EventView, TruncationView
from gofleet.domain.errors import PermissionDenied, RateLimitExceeded, Unauthenticated, Unavailable, UnknownCursor
from gofleet.domain.history import HistoryCursor, HistoryFilter
from gofleet.domain.place import BoundingBox
from gofleet.telemetry.metrics import OPEN_STREAMS
from gofleet.waiting import first_of

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 2000
"""Delay before a client reconnects."""
CLOSE_TIMEOUT_SECONDS = 0.3
CANCEL_RETRY_SECONDS = 0.1
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back until its buffer is full
)

Write = Callable[[bytes], Awaitable[None]]
Producer = Callable[[Write], Awaitable[None]]
"""Writes until it has nothing more to write."""


class TooManyStreams(RequestError):
    """The process has its maximum of open streams."""

    code = "too-many-streams"

    def __init__(self, streams_max: int, retry_after_seconds: float) -> None:
        super().__init__(f"{streams_max} streams are open, which is the maximum")
        self.retry_after_seconds = retry_after_seconds


class SlowClient(Exception):
    """The client did not read what was sent in time."""


def format_opening(id: str) -> bytes:
    """The first bytes of a stream. A client that reconnects before the first event sends `id`."""
    return f"retry: {RETRY_MS}\n: hello\nid: {id}\n\n".encode()


def format_event(type: str, data: bytes, id: str | None = None) -> bytes:
    """One event; `data` is one line."""
    head = f"event: {type}\n" if id is None else f"id: {id}\nevent: {type}\n"
    return head.encode() + b"data: " + data + b"\n\n"


def format_keep_alive(id: str) -> bytes:
    """Bytes without an event, sent when there is none. A client that reconnects sends `id`, so the entries before it
    need not be read again."""
    return f": still here\nid: {id}\n\n".encode()


class StreamingResponse(ASGIResponse):
    """Sends `first` and then the output of the producers, until one of them ends, the client disconnects, or `stopping`
    is set.

    `opened` is entered meanwhile. A client that reads nothing for `send_seconds` is disconnected: `send` blocks once
    the connection's send buffer is full.
    """

    def __init__(
        self,
        first: bytes,
        producers: Sequence[Producer],
        *,
        opened: AbstractContextManager[None],
        stopping: asyncio.Event,
        send_seconds: float,
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._first = first
        self._producers = producers
        self._opened = opened
        self._stopping = stopping
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  Litestar's types are narrower
        lock = asyncio.Lock()

        async def write(body: bytes) -> None:
            async with lock:
                try:
                    async with asyncio.timeout(self._send_seconds):
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                except TimeoutError as error:
                    raise SlowClient from error

        with self._opened:
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            await write(self._first)
            try:
                await self._produce(write, receive)
            except SlowClient:
                logger.warning("stream closed: the client does not read")
            except UnknownCursor:
                pass  # the database was replaced; a client that reconnects with its last id receives `reset`
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _produce(self, write: Write, receive: Receive) -> None:
        tasks = [asyncio.ensure_future(producer(write)) for producer in self._producers]
        tasks.append(asyncio.create_task(_disconnected(receive)))
        try:
            await first_of(*tasks, self._stopping)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            await _cancel(tasks)


@dataclass(frozen=True)
class EventStreamLimits:
    """Limits of one process: `streams_max` in all and `streams_per_owner_max` for a customer or driver. A stream sends
    something at least every `keep_alive_seconds` and ends when the client reads nothing for `send_seconds`. Its token
    is checked again every `recheck_seconds`; a stream whose token is no longer accepted ends."""

    streams_max: int = 500
    streams_per_owner_max: int = 5
    keep_alive_seconds: float = 15.0
    send_seconds: float = 10.0
    recheck_seconds: float = 1.0


class EventStreams:
    """Opens the streams of one process and counts them. All end when `stopping` is set."""

    def __init__(
        self,
        feed: HistoryFeed,
        *,
        stopping: asyncio.Event,
        positions: DriverPositionFeed,
        limits: EventStreamLimits | None = None,
    ) -> None:
        self._feed = feed
        self._stopping = stopping
        self._limits = limits or EventStreamLimits()
        self._positions = positions
        self._open = 0
        self._open_by_owner = Counter[str]()

    def response(
        self,
        cursor: HistoryCursor,
        criteria: HistoryFilter,
        box: BoundingBox | None,
        caller: Caller = ANONYMOUS_CALLER,
        *,
        reset: bool = False,
    ) -> StreamingResponse:
        """A stream of the entries after `cursor` and of the positions in `box`, as `caller` may see them; `reset` tells
        the client first that it may have missed entries. Raises `TooManyStreams`, `RateLimitExceeded`."""
        limits = self._limits
        if self._open >= limits.streams_max:
            raise TooManyStreams(limits.streams_max, limits.keep_alive_seconds)
        owner = None if caller.owner is None else caller.principal.subject
        if owner is not None and self._open_by_owner[owner] >= limits.streams_per_owner_max:
            raise RateLimitExceeded(limits.keep_alive_seconds)
        producers: list[Producer] = [partial(self._send_entries, cursor, criteria, caller)]
        if box is not None:
            producers.append(partial(self._send_positions, box))
        if caller.recheck is not None:
            producers.append(partial(self._end_with_permission, caller.recheck))
        return StreamingResponse(
            format_opening(resume_token(cursor)) + (format_event("reset", b"{}") if reset else b""),
            producers,
            opened=self._counted(owner),
            stopping=self._stopping,
            send_seconds=limits.send_seconds,
        )

    async def _send_entries(self, cursor: HistoryCursor, criteria: HistoryFilter, caller: Caller, write: Write) -> None:
        while True:
            page = await self._feed.after(cursor, criteria, self._limits.keep_alive_seconds)
            cursor = page.until
            if not page.entries:
                await write(format_keep_alive(resume_token(cursor)))
                continue
            views = [(EventView.of(caller.displayed(entry)), resume_token(entry.cursor)) for entry in page.entries]
            await write(b"".join(format_event(view.kind, _encoder.encode(view), id) for view, id in views))

    async def _send_positions(self, box: BoundingBox, write: Write) -> None:
        with self._positions.watch(box) as watcher:
            while True:
                changes = await watcher.changes()
                events = [format_event("driver.moved", _encoder.encode(view)) for view in changes.moved]
                for driver_id in changes.gone:
                    events.append(format_event("driver.gone", _encoder.encode(DriverGoneView(driver_id=driver_id))))
                if changes.truncated is not None:
                    view = TruncationView(truncated=changes.truncated)
                    events.append(format_event("drivers.truncated", _encoder.encode(view)))
                if events:
                    await write(b"".join(events))

    async def _end_with_permission(self, recheck: Recheck, write: Write) -> None:
        del write
        with suppress(Unauthenticated, PermissionDenied, Unavailable):
            while True:
                await asyncio.sleep(self._limits.recheck_seconds)
                await recheck()

    @contextmanager
    def _counted(self, owner: str | None) -> Generator[None]:
        self._open += 1
        self._open_by_owner.update([owner] if owner else [])
        OPEN_STREAMS.inc()
        try:
            with self._feed.subscribed():
                yield
        finally:
            self._open -= 1
            if owner:
                self._open_by_owner[owner] -= 1
                self._open_by_owner += Counter[str]()  # drops owners without streams
            OPEN_STREAMS.dec()


_encoder = msgspec.json.Encoder()


async def _cancel(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Cancel the tasks repeatedly until all have ended. Once is not enough: in Python 3.11 `wait_for`, which psycopg
    uses, misses a cancellation that coincides with its result."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_RETRY_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
