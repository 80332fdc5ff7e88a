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


def header(scope: Scope, name: bytes) -> str | None:
    """The first value of a header; `name` in lower case, as ASGI delivers them."""
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    for key, value in headers:  # not a generator: it is asked for several in each request
        if key == name:
            return value.decode("latin-1")
    return None


async def respond(send: Send, status: int, media_type: str, body: bytes, *more: tuple[str, str]) -> None:
    """Send a whole response; `more` are further headers."""
    headers = [*more, ("content-type", media_type), ("content-length", str(len(body)))]
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
