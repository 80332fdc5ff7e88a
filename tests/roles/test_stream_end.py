"""A stream ends even if its producer misses a cancellation."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from gofleet.adapters.http.asgi import Message
from gofleet.adapters.http.sse import StreamingResponse, Write


async def test_repeats_a_cancellation_that_was_missed() -> None:
    """As `wait_for` of Python 3.11 does when its result arrives at the same time."""
    started, stopping = asyncio.Event(), asyncio.Event()
    sent: list[Message] = []

    async def misses_first_cancellation(write: Write) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    response = StreamingResponse(
        b"first", [misses_first_cancellation], opened=nullcontext(), stopping=stopping, send_seconds=5
    )
    streaming = asyncio.create_task(response({"type": "http"}, receive, send))  # pyright: ignore[reportArgumentType]
    await started.wait()
    stopping.set()
    async with asyncio.timeout(10):
        await streaming

    assert [message.get("more_body") for message in sent] == [None, True, False]
