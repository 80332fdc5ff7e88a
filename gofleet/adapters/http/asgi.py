"""ASGI types and helpers of our own middleware and applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

# The specification defines scopes and messages as dictionaries whose values depend on their type.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
"""Frameworks declare narrower types for the three arguments, each its own."""
_FIRST_VALUES = "gofleet.first_values"
NOSNIFF = (b"x-content-type-options", b"nosniff")
"""Keeps browsers from interpreting JSON as a page, whatever text a client put into it."""


def header(scope: Scope, name: bytes) -> str | None:
    """The first value of a request's header; `name` in lower case, as ASGI delivers names."""
    first: dict[bytes, bytes] | None = scope.get(_FIRST_VALUES)
    if first is None:  # each request looks up a dozen
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        first = scope[_FIRST_VALUES] = dict(reversed(headers))
    value = first.get(name)
    return None if value is None else value.decode("latin-1")


async def respond(send: Send, status: int, media_type: str, body: bytes, *more: tuple[str, str]) -> None:
    """Send a complete response; `more` are additional headers."""
    headers = raw_headers(*more, ("content-type", media_type), ("content-length", str(len(body))))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def raw_headers(*headers: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as an ASGI message carries them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
