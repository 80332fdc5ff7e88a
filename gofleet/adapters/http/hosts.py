"""Whom a request means to reach (RFC 9112, 3.2): exactly one Host, and one of ours if they are listed.

Without that check whoever makes a victim's client or cache believe that a foreign name leads here could have it speak
to us under that name (DNS rebinding, cache poisoning).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from gofleet.adapters.http.asgi import Scope

# A registered name or an IPv4 address, or an IPv6 address in brackets; then perhaps a port.
_HOST = re.compile(r"(?P<name>[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)


class BadHost(Exception):
    def __init__(self, why: str) -> None:
        super().__init__(why)


class Misdirected(Exception):
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
        raise Misdirected
