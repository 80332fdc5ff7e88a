"""Who may ask how often, and how they are told (draft-ietf-httpapi-ratelimit-headers-10)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from math import ceil

from gofleet.adapters.http.asgi import Scope
from gofleet.adapters.http.peers import ClientAddresses
from gofleet.domain.principal import Principal, Role
from gofleet.domain.rate import Rate
from gofleet.guards.limiter import Limiter, RateLimitStatus

STAFF = frozenset({Role.DISPATCHER, Role.ADMIN, Role.SERVICE})
STANDING = "standing"
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
        scope["state"][STANDING] = await self._limiter.take(self._peer(scope), self._rates.peer)

    async def take_for(self, principal: Principal, scope: Scope) -> None:
        """`RateLimitExceeded`."""
        rate = self._rates.staff if principal.roles & STAFF else self._rates.person
        scope["state"][STANDING] = await self._limiter.take(f"principal:{principal.subject}", rate)

    def _peer(self, scope: Scope) -> str:
        return f"peer:{self._peers.name(scope)}"


def headers_of(standing: RateLimitStatus) -> Collection[tuple[bytes, bytes]]:
    """What an answer says about it."""
    left = f'"default";r={standing.left};t={ceil(standing.full_seconds)}'
    return ((b"ratelimit-policy", _policy(standing.rate)), (b"ratelimit", left.encode("ascii")))


@cache
def _policy(rate: Rate) -> bytes:
    return f'"default";q={rate.burst};w={ceil(rate.burst / rate.per_second)}'.encode("ascii")
