"""Server-sent events (HTML Living Standard, 9.2): what they look like on the wire, and how they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, suppress

from litestar.response.base import ASGIResponse
from loguru import logger

from gofleet.adapters.http.asgi import Receive, Scope, Send
from gofleet.domain.errors import UnknownCursor

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 2000
"""How long a client that lost its stream waits before it comes again."""
LAST_SECONDS = 0.3
"""How long the last word may take."""
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events back until it has a buffer full of them
)

AGAIN_SECONDS = 0.1
"""Between two tries to end something."""

Write = Callable[[bytes], Awaitable[None]]
Pump = Callable[[Write], Awaitable[None]]
"""Writes what there is to write, for as long as there is any."""


def opening(id: str) -> bytes:
    """The first thing that is sent. A client that loses its stream before anything happened comes again with `id`."""
    return f"retry: {RETRY_MS}\n: hello\nid: {id}\n\n".encode()


def event(type: str, data: bytes, id: str | None = None) -> bytes:
    """One event; `data` is one line."""
    head = f"event: {type}\n" if id is None else f"id: {id}\nevent: {type}\n"
    return head.encode() + b"data: " + data + b"\n\n"


def keep_alive(id: str) -> bytes:
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
        pumps: Sequence[Pump],
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
            async with asyncio.timeout(LAST_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, write: Write, receive: Receive) -> None:
        tasks = [asyncio.ensure_future(pump(write)) for pump in self._pumps]
        tasks += [asyncio.create_task(_gone(receive)), asyncio.create_task(_set(self._stopping))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
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
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _set(event: asyncio.Event) -> None:
    await event.wait()
