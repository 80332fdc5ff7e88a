"""How much of a request we take, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gofleet.adapters.http.asgi import Message, Receive, Scope, header

LARGEST_BODY = 128 * 1024
"""What 500 positions with the longest ids need."""
BODY_SECONDS = 5.0
DISCARDED_BYTES = 1024 * 1024
"""So much of a body that is too large is still read, because a client hears no answer while it is sending."""


class BodyTooLarge(Exception):
    def __init__(self, largest: int) -> None:
        super().__init__(f"the body may have at most {largest} bytes")


class BodyTooSlow(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body was not complete within {seconds:g} s")


class BodyIncomplete(Exception):
    """The client went away in the middle of its body."""

    def __init__(self) -> None:
        super().__init__("the connection was closed before the body was complete")


class LimitedBody:
    """An ASGI `receive` that raises `BodyTooLarge`, `BodyTooSlow` or `BodyIncomplete`; the clock starts at once.

    `complete` is called when the whole body is there; what it raises is raised here.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        largest: int = LARGEST_BODY,
        seconds: float = BODY_SECONDS,
        complete: Callable[[], None] = lambda: None,
    ) -> None:
        self._receive = receive
        self._largest = largest
        self._seconds = seconds
        self._tell = complete
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._announced = _announced(scope)
        self._received = 0
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()  # what remains to come is the disconnect
        if self._announced > self._largest:
            await self._refuse()
        message = await self._next()
        if self._received > self._largest:
            await self._refuse()
        if self._complete:
            self._tell()
        return message

    async def _refuse(self) -> None:
        while not self._complete and self._received < DISCARDED_BYTES:
            await self._next()
        self._complete = True
        raise BodyTooLarge(self._largest)

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            self._complete = True
            raise BodyTooSlow(self._seconds) from error
        if message["type"] == "http.disconnect":
            self._complete = True
            raise BodyIncomplete
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return message


def _announced(scope: Scope) -> int:
    length = header(scope, b"content-length") or "0"
    return int(length) if length.isdecimal() and length.isascii() else 0  # what is no number the server refuses
