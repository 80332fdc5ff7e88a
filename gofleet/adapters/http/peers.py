"""Whose connection a request came over.

`X-Forwarded-For` is whatever its sender wrote, but for what proxies of ours have put at its end: it is read from there,
and only as far as those who wrote it can be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gofleet.adapters.http.asgi import Scope

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
UNKNOWN = "unknown"
ONE_SITE = 64
"""Bits of an IPv6 address that name a site: whoever has one address has all of its 2^64."""


class ClientAddresses:
    """Names peers, given the networks of trusted `proxies`."""

    def __init__(self, proxies: Sequence[Network] = ()) -> None:
        self._proxies = tuple(proxies)

    def name(self, scope: Scope) -> str:
        """The address that is nearest to us and no proxy of ours; of IPv6 the site; `unknown` without any."""
        client: Sequence[str] | None = scope.get("client")
        if not client:
            return UNKNOWN
        if not self._proxies:
            return _name(client[0])
        at = _address(client[0])
        if at is None:
            return UNKNOWN
        if self._trusted(at):
            for hop in reversed(_hops(scope)):
                if (before := _address(hop)) is None:
                    break  # a proxy of ours writes addresses; whatever this is, nothing behind it can be believed
                at = before
                if not self._trusted(at):
                    break
        return _named(at)

    def _trusted(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)


def _hops(scope: Scope) -> list[str]:
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [hop.strip() for line in lines for hop in line.split(",")]


def _address(text: str) -> Address | None:
    """With a port or without, IPv6 in brackets or not; IPv4 written as IPv6 is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


@lru_cache(4096)  # to read an address takes longer than all else that is done here
def _name(text: str) -> str:
    address = _address(text)
    return UNKNOWN if address is None else _named(address)


def _named(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((address, ONE_SITE), strict=False))
