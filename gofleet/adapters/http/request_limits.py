"""How much of a request we take, and for how long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Sequence

from gofleet.adapters.http.asgi import Message, Receive, Scope, header

BODY_BYTES_MAX = 128 * 1024
"""What 500 positions with the longest ids need."""
BODY_SECONDS = 5.0
DISCARDED_BYTES_MAX = 1024 * 1024
"""So much of a body that is too large is still read, because a client hears no answer while it is sending."""


class BodyTooLarge(Exception):
    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the body may have at most {bytes_max} bytes")


class BodyTooSlow(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body was not complete within {seconds:g} s")


class BodyIncomplete(Exception):
    """The client went away in the middle of its body."""

    def __init__(self) -> None:
        super().__init__("the connection was closed before the body was complete")


class BodyDeadlines:
    """When bodies must be complete: `seconds` after somebody began to wait for them.

    As all have the same time, whoever began first is due first, and one timer does for all of them. One for each would
    cost more than all the rest of reading a body.
    """

    def __init__(self, seconds: float = BODY_SECONDS) -> None:
        self.seconds = seconds
        self._due: dict[LimitedBody, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, body: LimitedBody) -> None:
        loop = asyncio.get_running_loop()
        self._due[body] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(self._due[body], self._look, loop)

    def end(self, body: LimitedBody) -> None:
        self._due.pop(body, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for body, due in list(self._due.items()):
            if due > loop.time():
                self._timer = loop.call_at(due, self._look, loop)
                return
            del self._due[body]
            body.expire()


class LimitedBody:
    """An ASGI `receive` that raises `BodyTooLarge`, `BodyTooSlow` or `BodyIncomplete`.

    `complete` is called when the whole body is there; what it raises is raised here.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        bytes_max: int = BODY_BYTES_MAX,
        deadlines: BodyDeadlines,
        on_complete: Callable[[], None] = lambda: None,
    ) -> None:
        self._receive = receive
        self._largest = bytes_max
        self._deadlines = deadlines
        self._tell = on_complete
        self._announced = _announced(scope)
        self._received = 0
        self._begun = self._complete = self._expired = False
        self._waiting: asyncio.Task[object] | None = None

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()  # what remains to come is the disconnect
        if not self._begun:
            self._begun = True
            self._deadlines.begin(self)
        try:
            return await self._one()
        except BaseException:
            self._end()
            raise

    def expire(self) -> None:
        """Its time is over: whoever waits for it is told."""
        self._expired = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _one(self) -> Message:
        if self._announced > self._largest:
            await self._refuse()
        message = await self._next()
        if self._received > self._largest:
            await self._refuse()
        if self._complete:
            self._tell()
        return message

    async def _refuse(self) -> None:
        while not self._complete and self._received < DISCARDED_BYTES_MAX:
            await self._next()
        raise BodyTooLarge(self._largest)

    async def _next(self) -> Message:
        message = await self._in_time()
        if message["type"] == "http.disconnect":
            raise BodyIncomplete
        self._received += len(message.get("body", b""))
        if not message.get("more_body", False):
            self._end()
        return message

    async def _in_time(self) -> Message:
        """The next message. As `asyncio.timeout` does it: a cancellation is ours only if nobody else asked for one."""
        if self._expired:
            raise BodyTooSlow(self._deadlines.seconds)
        self._waiting = task = asyncio.current_task()
        assert task is not None  # noqa: S101  a coroutine that runs is run by a task
        others = task.cancelling()
        try:
            return await self._receive()
        except asyncio.CancelledError as error:
            if self._expired and task.uncancel() <= others:
                raise BodyTooSlow(self._deadlines.seconds) from error
            raise
        finally:
            self._waiting = None

    def _end(self) -> None:
        self._complete = True
        self._deadlines.end(self)


def _announced(scope: Scope) -> int:
    length = header(scope, b"content-length") or "0"
    return int(length) if length.isdecimal() and length.isascii() else 0  # what is no number the server refuses


# A registered name or an IPv4 address, or an IPv6 address in brackets; then perhaps a port.
_HOST = re.compile(r"(?P<name>[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)


class BadHost(Exception):
    def __init__(self, why: str) -> None:
        super().__init__(why)


class MisdirectedRequest(Exception):
    """It means somebody else (RFC 9110, 15.5.20)."""

    def __init__(self) -> None:
        super().__init__("this server does not answer to that name")


def check_host(scope: Scope, allowed: Collection[str]) -> None:
    """`BadHost`, or `Misdirected` unless `allowed` is empty or has the name, in lower case and without a port."""
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    hosts = [value for key, value in headers if key == b"host"]
    if scope["http_version"] in ("1", "1.0") and not any(hosts):
        return  # it knows none; Granian puts an empty one there, and calls it version 1
    if len(hosts) != 1:
        raise BadHost(f"there must be one, not {len(hosts)}")
    if not (found := _HOST.fullmatch(hosts[0].decode("latin-1"))):
        raise BadHost("it must be a name or an address, perhaps with a port")
    if allowed and found["name"].lower() not in allowed:
        raise MisdirectedRequest
