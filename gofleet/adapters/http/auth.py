"""Bearer-token authentication and per-operation authorisation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidation

from gofleet.adapters.http.asgi import Scope, header
from gofleet.adapters.http.health import PROBE_PATHS
from gofleet.adapters.http.rate_limit import CHARGED, STAFF, RateLimits
from gofleet.domain.errors import DriverNotFound, Invalid, PermissionDenied, RateLimitExceeded, Unauthenticated
from gofleet.domain.history import HistoryEntry
from gofleet.domain.order import Owner
from gofleet.domain.principal import ANONYMOUS, Actor, Principal, Role
from gofleet.domain.principal import Scope as TokenScope

CUSTOMER, DRIVER, DISPATCHER, ADMIN, _ = Role
OPERATORS = frozenset({DISPATCHER, ADMIN})


@dataclass(frozen=True)
class Access:
    """Authorisation rule of one operation.

    Roles in `everything` may apply it to all records, roles in `own` to their own records only. The token must carry
    `scope` as well.
    """

    scope: TokenScope
    everything: frozenset[Role]
    own: frozenset[Role] = frozenset()


PUBLIC = "public"
"""Handler option of the routes that need no authentication."""
PUBLIC_ROUTE = {PUBLIC: True}
ACCESS: Mapping[str, Access] = {
    "createOrder": Access(TokenScope.ORDERS_WRITE, STAFF, frozenset({CUSTOMER})),
    "showOrder": Access(TokenScope.ORDERS_READ, STAFF, frozenset({CUSTOMER, DRIVER})),
    "listOrders": Access(TokenScope.ORDERS_READ, STAFF, frozenset({CUSTOMER, DRIVER})),
    "showTimeline": Access(TokenScope.ORDERS_READ, STAFF, frozenset({CUSTOMER, DRIVER})),
    "followOrders": Access(TokenScope.ORDERS_READ, STAFF, frozenset({CUSTOMER, DRIVER})),
    "changeOrder": Access(TokenScope.ORDERS_WRITE, STAFF, frozenset({CUSTOMER})),
    "cancelOrder": Access(TokenScope.ORDERS_WRITE, STAFF, frozenset({CUSTOMER})),
    "deliverOrder": Access(TokenScope.ORDERS_WRITE, STAFF, frozenset({DRIVER})),
    "dispatchOrder": Access(TokenScope.ORDERS_WRITE, OPERATORS),
    "redispatchOrder": Access(TokenScope.ORDERS_WRITE, OPERATORS),
    "listCandidates": Access(TokenScope.DRIVERS_READ, OPERATORS),
    "registerDriver": Access(TokenScope.DRIVERS_WRITE, STAFF),
    "showDriver": Access(TokenScope.DRIVERS_READ, STAFF, frozenset({DRIVER})),
    "setDuty": Access(TokenScope.DRIVERS_WRITE, STAFF, frozenset({DRIVER})),
    "locateDriver": Access(TokenScope.DRIVERS_READ, STAFF, frozenset({DRIVER})),
    "moveDriver": Access(TokenScope.DRIVERS_WRITE, STAFF, frozenset({DRIVER})),
    "listDrivers": Access(TokenScope.DRIVERS_READ, STAFF),
    "moveDrivers": Access(TokenScope.DRIVERS_WRITE, STAFF),
    "listParkedMessages": Access(TokenScope.OPERATIONS, frozenset({ADMIN})),
    "countParkedMessages": Access(TokenScope.OPERATIONS, frozenset({ADMIN})),
    "showParkedMessage": Access(TokenScope.OPERATIONS, frozenset({ADMIN})),
    "replayParkedMessage": Access(TokenScope.OPERATIONS, frozenset({ADMIN})),
    "replayParkedMessages": Access(TokenScope.OPERATIONS, frozenset({ADMIN})),
    "listFailedEvents": Access(TokenScope.OPERATIONS, frozenset({ADMIN})),
    "retryFailedEvents": Access(TokenScope.OPERATIONS, frozenset({ADMIN})),
    "showIndicators": Access(TokenScope.OPERATIONS, STAFF),
}
"""By `operationId`; an operation without a row is forbidden to every role. tests/auth checks each row."""


Recheck = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Caller:
    """Authorised caller of one operation. `owner` restricts it to one customer's or driver's records, None does not.

    `recheck` verifies and authorises the token of the request again, for responses without end. `Unauthenticated`,
    `PermissionDenied`, `Unavailable`. None = the caller is anonymous.
    """

    principal: Principal
    owner: Owner | None = None
    recheck: Recheck | None = field(default=None, compare=False, repr=False)

    @property
    def actor(self) -> str:
        """The caller's name in order histories."""
        return self.principal.actor

    def customer_for_new_order(self, named: str | None) -> str | None:
        """The customer of a new order: customers order for themselves, other callers may name any customer."""
        if self.owner is None:
            return named
        if named not in {None, self.owner.customer_id}:
            raise Invalid("customer_id", "must be left out, or be your own")
        return self.owner.customer_id

    def check_driver(self, driver_id: str) -> None:
        """`DriverNotFound` for every driver but the caller's own, before any lookup: the answer must not depend on
        whether the driver exists."""
        if self.owner is not None and driver_id != self.owner.driver_id:
            raise DriverNotFound(driver_id)

    def check_full_access(self, what: str) -> None:
        """`PermissionDenied` for a caller restricted to their own records."""
        if self.owner is not None:
            raise PermissionDenied(f"{what} includes records of other owners")

    def displayed(self, entry: HistoryEntry) -> HistoryEntry:
        """`entry` as this caller may see it: restricted callers see the role of other actors without the name, and a
        driver sees no other driver of an order, before or after."""
        if self.owner is None:
            return entry
        actor = self.displayed_actor(entry.actor)
        is_hidden = self.owner.driver_id is not None and entry.driver_id != self.owner.driver_id
        return replace(entry, actor=actor, driver_id=None if is_hidden else entry.driver_id)

    def displayed_actor(self, actor: Actor) -> Actor:
        """`actor` as this caller may see it, as above."""
        return actor if self.owner is None or actor == self.actor else actor.partition(":")[0]


CallerDependency = NamedDependency[SkipValidation[Caller]]
"""The dependency `caller` of the handlers."""

ANONYMOUS_CALLER = Caller(ANONYMOUS)
"""The caller of every request when authentication is off (AUTH=off): unrestricted."""

Charge = Callable[[], Awaitable[None]]
"""Consumes from the rate limit of the client address. `RateLimitExceeded`."""
Authenticate = Callable[[str, Charge], Awaitable[Principal]]
"""Verifies a token and returns its principal; charges before it waits. `Unauthenticated`, `Unavailable`."""
SCHEME = "bearer"


class Authenticator:
    """Authenticates, rate-limits and authorises each request.

    Without `authenticate` every request is anonymous and unrestricted; without `limits` there is no rate limit.
    `issuer` is the URL of the token issuer, as RFC 9728 metadata publishes it.
    """

    def __init__(
        self, authenticate: Authenticate | None = None, limits: RateLimits | None = None, issuer: str | None = None
    ) -> None:
        self.issuer = issuer
        self._authenticate = authenticate
        self._limits = limits

    @property
    def auth_required(self) -> bool:
        return self._authenticate is not None

    async def admit(self, scope: Scope) -> None:
        """Charges a request without a token to its client address, before it is routed: public routes, unknown paths
        and methods count as well. `RateLimitExceeded`, also for a request with a token while that bucket is empty.

        Nothing is charged while authentication is off, or for probes: an orchestrator must not be refused.
        """
        if self._limits is None or self._authenticate is None or scope["path"] in PROBE_PATHS:
            return
        self._limits.check(scope)
        if header(scope, b"authorization") is None:
            await self._limits.take_for_peer(scope)

    async def settle(self, scope: Scope) -> None:
        """Charges a request to its client address afterwards, if its token was not verified: at an unknown path, for
        example. To know that beforehand, every request would have to be verified before the routing."""
        if self._limits is None or self._authenticate is None or scope["path"] in PROBE_PATHS:
            return
        if CHARGED not in scope["state"]:
            with suppress(RateLimitExceeded):
                await self._limits.take_for_peer(scope)

    async def authenticate(self, scope: Scope, operation: str) -> Caller:
        """Caller of `operation`. `RateLimitExceeded`, `Unauthenticated`, `PermissionDenied`, `Unavailable`."""
        limits = self._limits

        async def charge() -> None:
            if limits is not None and CHARGED not in scope["state"]:
                await limits.take_for_peer(scope)

        if self._authenticate is None:
            await charge()
            return ANONYMOUS_CALLER
        try:
            token = bearer_token(scope)
            principal = await self._authenticate(token, charge)
        except Unauthenticated:
            await charge()
            raise
        if limits is not None:
            await limits.take_for(principal, scope)
        return authorise(principal, operation, partial(self._recheck, token, operation))

    async def _recheck(self, token: str, operation: str) -> None:
        if self._authenticate is not None:
            authorise(await self._authenticate(token, _charge_nothing), operation)

    async def guard(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Litestar guard: runs before the rest of the request is read."""
        if not handler.opt.get(PUBLIC):
            operation = getattr(handler, "operation_id", None)
            scope = cast("Scope", connection.scope)
            scope["state"]["caller"] = await self.authenticate(scope, str(operation))


async def _charge_nothing() -> None:
    pass


def authorise(principal: Principal, operation: str, recheck: Recheck | None = None) -> Caller:
    """`principal` as the caller of `operation`. `PermissionDenied` without the required role or scope."""
    access = ACCESS.get(operation)
    if access is None:
        raise PermissionDenied("no role may do this")
    if access.scope not in principal.scopes:
        raise PermissionDenied(f"the token does not have the scope {access.scope}", access.scope)
    if principal.roles & access.everything:
        return Caller(principal, recheck=recheck)
    own = principal.roles & access.own
    if not own:
        raise PermissionDenied("none of your roles may do this")
    name = principal.subject
    return Caller(principal, Owner(name if CUSTOMER in own else None, name if DRIVER in own else None), recheck)


def caller_of(scope: Any) -> Caller:
    """The caller that the guard stored in the request's state."""
    return scope["state"]["caller"]


def bearer_token(scope: Scope) -> str:
    """The bearer token (RFC 6750, section 2.1). `Unauthenticated` without one, or with several."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if not values:
        raise Unauthenticated("there is no Authorization header", given=False)
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    if len(values) > 1 or scheme.lower() != SCHEME or not (token := token.strip()):
        raise Unauthenticated("the Authorization header is not one bearer token")
    return token
