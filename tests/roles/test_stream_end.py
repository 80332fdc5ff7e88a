"""A stream ends although what feeds it overhears that it should."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from gofleet.adapters.http.asgi import Message
from gofleet.adapters.http.sse import StreamingResponse, Write


async def test_a_cancellation_that_was_not_heard_is_repeated() -> None:
    """As `wait_for` of Python 3.11 does when what it waits for comes at the same moment."""
    begun, stopping = asyncio.Event(), asyncio.Event()
    sent: list[Message] = []

    async def deaf(write: Write) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    response = StreamingResponse(b"first", [deaf], opened=nullcontext(), stopping=stopping, send_seconds=5)
    streaming = asyncio.create_task(response({"type": "http"}, receive, send))  # pyright: ignore[reportArgumentType]
    await begun.wait()
    stopping.set()
    async with asyncio.timeout(10):
        await streaming

    assert [message.get("more_body") for message in sent] == [None, True, False]
