"""Who may ask how often, and how they are told (draft-ietf-httpapi-ratelimit-headers-10)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from math import ceil

from gofleet.adapters.http.asgi import Scope
from gofleet.domain.principal import Principal, Role
from gofleet.guards.limiter import Limiter, Rate, RateLimitStatus

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


STAFF = frozenset({Role.DISPATCHER, Role.ADMIN, Role.SERVICE})
RATE_LIMIT_STATUS = "standing"
"""Where a request's state has it."""


@dataclass(frozen=True)
class Rates:
    """`peer` is for an address of which nobody known asks, `person` for customers and drivers, `staff` for others."""

    peer: Rate
    person: Rate
    staff: Rate


class RateLimits:
    """A known caller has a bucket of their own, wherever they ask from; whoever is not known has that of their address.

    So many who share an address do not take from each other, and who sends wrong tokens is soon no longer listened to.
    """

    def __init__(self, limiter: Limiter, rates: Rates, peers: ClientAddresses) -> None:
        self._limiter = limiter
        self._rates = rates
        self._peers = peers

    def check(self, scope: Scope) -> None:
        """`RateLimitExceeded` if nothing is left for that address; takes nothing."""
        self._limiter.check(self._peer(scope))

    async def take_for_peer(self, scope: Scope) -> None:
        """For a request of nobody known. `RateLimitExceeded`."""
        scope["state"][RATE_LIMIT_STATUS] = await self._limiter.take(self._peer(scope), self._rates.peer)

    async def take_for(self, principal: Principal, scope: Scope) -> None:
        """`RateLimitExceeded`."""
        rate = self._rates.staff if principal.roles & STAFF else self._rates.person
        scope["state"][RATE_LIMIT_STATUS] = await self._limiter.take(f"principal:{principal.subject}", rate)

    def _peer(self, scope: Scope) -> str:
        return f"peer:{self._peers.name(scope)}"


def rate_limit_headers(standing: RateLimitStatus) -> Collection[tuple[bytes, bytes]]:
    """What an answer says about it."""
    left = f'"default";r={standing.left};t={ceil(standing.full_seconds)}'
    return ((b"ratelimit-policy", _policy(standing.rate)), (b"ratelimit", left.encode("ascii")))


@cache
def _policy(rate: Rate) -> bytes:
    return f'"default";q={rate.burst};w={ceil(rate.burst / rate.per_second)}'.encode("ascii")
