"""A client of a stream like a browser's EventSource, without automatic reconnection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

STREAM = "/api/v1/orders/stream"
TIMEOUT_SECONDS = 20.0


@dataclass
class Listener:
    """`last_id` is the id to resume from, `comments` are the comments received between events."""

    answer: httpx.Response
    lines: AsyncIterator[str]
    last_id: str | None = None
    retry: int | None = None
    comments: list[str] = field(default_factory=list[str])
    ended: bool = False

    async def event(self) -> tuple[str, dict[str, Any]]:
        """The next event and its data; StopAsyncIteration at the end of the stream."""
        return await self._within(self._event())

    async def events(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        return [await self.event() for _ in range(count)]

    async def summaries(self, count: int) -> list[str]:
        """The next `count` events as order id and event type."""
        return [f"{data['order_id']} {type.removeprefix('orders.')}" for type, data in await self.events(count)]

    async def opened(self) -> None:
        while self.last_id is None:
            await self._within(self._line())

    async def comment(self) -> str:
        """The next unread comment."""
        before = len(self.comments)
        while len(self.comments) == before:
            await self._within(self._line())
        return self.comments[-1]

    async def end(self) -> None:
        """Read to the end; AssertionError if the stream does not end."""
        try:
            while True:
                await self.event()
        except StopAsyncIteration:
            self.ended = True

    async def _event(self) -> tuple[str, dict[str, Any]]:
        type, data = "message", ""
        while True:
            name, value = await self._line()
            match name:
                case "event":
                    type = value
                case "data":
                    data += value
                case "" if data:
                    return type, json.loads(data)
                case _:
                    pass

    async def _line(self) -> tuple[str, str]:
        line = await anext(self.lines)
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line.startswith(":"):
            self.comments.append(value)
            return "comment", value
        if name == "id":
            self.last_id = value
        if name == "retry":
            self.retry = int(value)
        return name, value

    async def _within(self, wanted: Any) -> Any:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await wanted
        except TimeoutError as error:
            raise AssertionError("the stream sends nothing more") from error


@asynccontextmanager
async def listening_to(
    client: httpx.AsyncClient, *, last_id: str | None = None, **query: str | list[str]
) -> AsyncGenerator[Listener]:
    """An open stream whose opening has been read."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with client.stream("GET", STREAM, params=query, headers=headers, timeout=TIMEOUT_SECONDS) as answer:
        assert answer.status_code == 200, await answer.aread()
        listener = Listener(answer, answer.aiter_lines())
        assert await listener.comment() == "hello"
        await listener.opened()
        yield listener
