"""Limits on a request before it is handled: body size, body time, the form of its path, and the Host header (RFC 9112,
3.2).

Exactly one Host header is required, an allowed one if hosts are configured. Without that check, an attacker could make
a victim's client or cache resolve a foreign name to this server, and have it send requests under that name
(DNS rebinding, cache poisoning).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Sequence
from urllib.parse import urlsplit

from gofleet.adapters.http.asgi import Message, Receive, Scope, header
from gofleet.adapters.http.problem_types import RequestError
from gofleet.domain.errors import PermissionDenied

BODY_BYTES_MAX = 128 * 1024
"""Enough for 500 positions with ids of the maximum length."""
BODY_SECONDS = 5.0
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names of this machine, which no other site can have: the only ones while AUTH=off, unless others are configured."""
DISCARDED_BYTES_MAX = 1024 * 1024
"""Bytes of an oversized body that are still read: a client does not read the response while it is sending."""
# A registered name or an IPv4 address, or an IPv6 address in brackets; then optionally a port.
_HOST = re.compile(r"(?P<name>[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)


class BodyTooLarge(RequestError):
    code = "too-large"
    closes_connection = True  # the unread rest of the body must not be parsed as the next request

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the body exceeds {bytes_max} bytes")


class BodyTooSlow(RequestError):
    code = "too-slow"
    closes_connection = True  # as above

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body was not complete within {seconds:g} s")


class BodyIncomplete(RequestError):
    """The client disconnected before the end of its body."""

    code = "incomplete"

    def __init__(self) -> None:
        super().__init__("the connection was closed before the body was complete")


class BadHost(RequestError):
    code = "bad-host"


class MisdirectedRequest(RequestError):
    """The Host is not one of this server's (RFC 9110, 15.5.20)."""

    code = "misdirected"

    def __init__(self) -> None:
        super().__init__("this server does not serve the requested host")


class BodyDeadlines:
    """Deadlines of the bodies being received: `seconds` after the first read.

    All bodies have the same time, so they expire in the order in which they began, and one timer serves all of them. A
    timer for each would cost more than the rest of reading a body.
    """

    def __init__(self, seconds: float = BODY_SECONDS) -> None:
        self.seconds = seconds
        self._due: dict[LimitedBody, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, body: LimitedBody) -> None:
        loop = asyncio.get_running_loop()
        self._due[body] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(self._due[body], self._expire_due, loop)

    def end(self, body: LimitedBody) -> None:
        self._due.pop(body, None)

    def _expire_due(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for body, due in list(self._due.items()):
            if due > loop.time():
                self._timer = loop.call_at(due, self._expire_due, loop)
                return
            del self._due[body]
            body.expire()


class LimitedBody:
    """An ASGI `receive` that raises `BodyTooLarge`, `BodyTooSlow` or `BodyIncomplete`.

    `on_complete` is called when the whole body has been received; its exceptions propagate to the reader.
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
        self._bytes_max = bytes_max
        self._deadlines = deadlines
        self._on_complete = on_complete
        self._declared = _declared_length(scope)
        self._ends_at = self._declared if header(scope, b"transfer-encoding") is None else None
        self._expects_continue = (header(scope, b"expect") or "").lower() == "100-continue"
        self._received = 0
        self._started = self._complete = self._expired = False
        self._reader: asyncio.Task[object] | None = None

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()  # only the disconnect follows
        if not self._started:
            self._started = True
            self._deadlines.begin(self)
        try:
            return await self._next_within_limits()
        except BaseException:
            self._end()
            raise

    def expire(self) -> None:
        """The deadline has passed: the waiting reader gets `BodyTooSlow`."""
        self._expired = True
        if self._reader is not None:
            self._reader.cancel()

    async def _next_within_limits(self) -> Message:
        if self._declared > self._bytes_max:
            await self._reject()
        message = await self._next()
        if self._received > self._bytes_max:
            await self._reject()
        if self._complete:
            self._on_complete()
        return message

    async def _reject(self) -> None:
        # A client that waits for "100 Continue" has sent nothing yet, and the first read would send it that.
        while (
            not (self._expects_continue and not self._received)
            and not self._complete
            and self._received < DISCARDED_BYTES_MAX
        ):
            await self._next()
        raise BodyTooLarge(self._bytes_max)

    async def _next(self) -> Message:
        message = await self._before_deadline()
        if message["type"] == "http.disconnect":
            raise BodyIncomplete
        self._received += len(message.get("body", b""))
        if self._received == self._ends_at:
            # The server would report the end in one more message, which passes through its threads.
            message["more_body"] = False
        if not message.get("more_body", False):
            self._end()
        return message

    async def _before_deadline(self) -> Message:
        """The next message. As in `asyncio.timeout`, a cancellation is ours only if no other one was requested."""
        if self._expired:
            raise BodyTooSlow(self._deadlines.seconds)
        self._reader = task = asyncio.current_task()
        assert task is not None  # noqa: S101  a running coroutine belongs to a task
        others = task.cancelling()
        try:
            return await self._receive()
        except asyncio.CancelledError as error:
            if self._expired and task.uncancel() <= others:
                raise BodyTooSlow(self._deadlines.seconds) from error
            raise
        finally:
            self._reader = None

    def _end(self) -> None:
        self._complete = True
        self._deadlines.end(self)


def canonical_path(scope: Scope) -> str:
    """The path without a slash at its end; empty for one that routes would read in another way than proxies, limits and
    the fast path: with an empty segment, or with an encoded slash."""
    path: str = scope["path"]
    if not path.startswith("/") or "//" in path or b"%2f" in scope.get("raw_path", b"").lower():
        return ""
    return path.rstrip("/") or "/"


def check_host(scope: Scope, allowed: Collection[str]) -> None:
    """`BadHost` for an invalid Host header; `MisdirectedRequest` for a name outside `allowed`.

    `allowed` holds names in lower case without a port; empty = any name.
    """
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    hosts = [value for key, value in headers if key == b"host"]
    if scope["http_version"] in ("1", "1.0") and not any(hosts):
        return  # HTTP/1.0 has no Host header; Granian reports version 1 and adds an empty one
    if len(hosts) != 1:
        raise BadHost(f"exactly one Host header is required, got {len(hosts)}")
    if not (match := _HOST.fullmatch(hosts[0].decode("latin-1"))):
        raise BadHost("it must be a name or an address, optionally with a port")
    if allowed and match["name"].lower() not in allowed:
        raise MisdirectedRequest


def is_known_host(scope: Scope, allowed: Collection[str]) -> bool:
    """Whether the Host header, which has been checked, names this machine or one of `allowed`."""
    match = _HOST.fullmatch(header(scope, b"host") or "")
    return match is not None and match["name"].lower() in LOOPBACK_HOSTS.union(allowed)


def check_origin(scope: Scope) -> None:
    """`PermissionDenied` for a write that a browser sends for a page of another origin.

    Without authentication nothing else keeps a page that the user opens from writing to an API on the user's machine.
    """
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return
    origin = header(scope, b"origin")
    foreign = origin is not None and urlsplit(origin).netloc.lower() != (header(scope, b"host") or "").lower()
    if foreign or header(scope, b"sec-fetch-site") == "cross-site":
        raise PermissionDenied("a page of another origin may not write while AUTH=off")


def _declared_length(scope: Scope) -> int:
    length = header(scope, b"content-length") or "0"
    return int(length) if length.isdecimal() and length.isascii() else 0  # the server rejects non-numeric lengths
