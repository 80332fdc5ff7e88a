"""The few words of ASGI that our own middleware and applications speak."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

# What the specification says: a scope and a message are dictionaries whose values depend on their type.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
"""Frameworks have narrower types for the three, each its own."""
NOSNIFF = (b"x-content-type-options", b"nosniff")
"""No browser takes JSON for a page, whatever somebody wrote into it."""


def header(scope: Scope, name: bytes) -> str | None:
    """The first value of a header; `name` in lower case, as ASGI delivers them."""
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    for key, value in headers:  # not a generator: it is asked for several in each request
        if key == name:
            return value.decode("latin-1")
    return None


async def respond(send: Send, status: int, media_type: str, body: bytes, *more: tuple[str, str]) -> None:
    """Send a whole response; `more` are further headers."""
    headers = raw_headers(*more, ("content-type", media_type), ("content-length", str(len(body))))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def raw_headers(*headers: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    """As they go into a message."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
