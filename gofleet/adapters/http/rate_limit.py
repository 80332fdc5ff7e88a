"""Rate limits per caller and per client address (draft-ietf-httpapi-ratelimit-headers-10).

The client address honours `X-Forwarded-For` behind trusted proxies only. The header holds whatever its sender wrote,
except for what our own proxies appended: it is read from the end, and only as far as its writers are trusted.
"""

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
SITE_PREFIX_BITS = 64
"""IPv6 prefix that counts as one client: the holder of one address has all 2^64 of it."""
STAFF = frozenset({Role.DISPATCHER, Role.ADMIN, Role.SERVICE})
RATE_LIMIT_STATUS = "rate_limit"
"""Key of the request's `RateLimitStatus` in its state."""
CHARGED = "charged"
"""Key in a request's state that says that a bucket has been charged, or was found empty."""


class ClientAddresses:
    """Resolves client addresses, given the networks of trusted `proxies`."""

    def __init__(self, proxies: Sequence[Network] = ()) -> None:
        self._proxies = tuple(proxies)

    def name(self, scope: Scope) -> str:
        """The nearest address that is not a trusted proxy; for IPv6 its /64; `unknown` without a valid address."""
        return self.resolve(scope)[0]

    def resolve(self, scope: Scope) -> tuple[str, bool]:
        """The name, and whether it is the address of a trusted proxy, for which the request names no client."""
        client: Sequence[str] | None = scope.get("client")
        if not client:
            return UNKNOWN, False
        if not self._proxies:
            return _client_name(client[0]), False
        address = _parse_address(client[0])
        if address is None:
            return UNKNOWN, False
        trusted = self._is_trusted(address)
        if trusted:
            for hop in reversed(_forwarded_hops(scope)):
                if (previous := _parse_address(hop)) is None:
                    break  # our proxies write valid addresses, so nothing before this entry can be trusted
                address, trusted = previous, self._is_trusted(previous)
                if not trusted:
                    break
        return _name_of(address), trusted

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)


@dataclass(frozen=True)
class Rates:
    """`peer` is for unauthenticated requests, per client address; `person` for customers and drivers; `staff` for
    dispatchers, admins and services, and for unauthenticated requests that a trusted proxy sends for no client."""

    peer: Rate
    person: Rate
    staff: Rate


class RateLimits:
    """Token buckets per principal, or per client address while a request is unauthenticated.

    Authenticated callers behind one address therefore do not share a bucket, and a sender of invalid tokens is
    rejected before the tokens are verified.
    """

    def __init__(self, limiter: Limiter, rates: Rates, peers: ClientAddresses) -> None:
        self._limiter = limiter
        self._rates = rates
        self._peers = peers

    def check(self, scope: Scope) -> None:
        """`RateLimitExceeded` if the bucket of the client address is empty; consumes nothing."""
        self._limiter.check(self._peer_key(scope))

    async def take_for_peer(self, scope: Scope) -> None:
        """Consume for an unauthenticated request. `RateLimitExceeded`."""
        name, is_proxy = self._peers.resolve(scope)
        rate = self._rates.staff if is_proxy else self._rates.peer
        scope["state"][CHARGED] = True
        scope["state"][RATE_LIMIT_STATUS] = await self._limiter.take(f"peer:{name}", rate)

    async def take_for(self, principal: Principal, scope: Scope) -> None:
        """Consume for an authenticated request. `RateLimitExceeded`."""
        rate = self._rates.staff if principal.roles & STAFF else self._rates.person
        scope["state"][CHARGED] = True
        scope["state"][RATE_LIMIT_STATUS] = await self._limiter.take(f"principal:{principal.subject}", rate)

    def _peer_key(self, scope: Scope) -> str:
        return f"peer:{self._peers.name(scope)}"


def rate_limit_headers(status: RateLimitStatus) -> Collection[tuple[bytes, bytes]]:
    """The response headers RateLimit-Policy and RateLimit."""
    left = f'"default";r={status.left};t={ceil(status.full_seconds)}'
    return ((b"ratelimit-policy", _policy(status.rate)), (b"ratelimit", left.encode("ascii")))


@cache
def _policy(rate: Rate) -> bytes:
    return f'"default";q={rate.burst};w={ceil(rate.burst / rate.per_second)}'.encode("ascii")


def _forwarded_hops(scope: Scope) -> list[str]:
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [hop.strip() for line in lines for hop in line.split(",")]


def _parse_address(text: str) -> Address | None:
    """An address with or without a port, IPv6 with or without brackets; IPv4-mapped IPv6 becomes IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


@lru_cache(4096)  # parsing an address takes longer than everything else here
def _client_name(text: str) -> str:
    address = _parse_address(text)
    return UNKNOWN if address is None else _name_of(address)


def _name_of(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((address, SITE_PREFIX_BITS), strict=False))
