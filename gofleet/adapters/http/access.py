"""Who may ask for what: one row for each operation, and nobody for what has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from gofleet.domain.errors import DriverNotFound, Invalid, PermissionDenied
from gofleet.domain.order import Owner
from gofleet.domain.principal import ANONYMOUS, Principal, Role, Scope

CUSTOMER, DRIVER, DISPATCHER, ADMIN, SERVICE = Role
PEOPLE = frozenset({DISPATCHER, ADMIN})
STAFF = PEOPLE | {SERVICE}


@dataclass(frozen=True)
class Access:
    """`everything` are the roles that may do it with whatever there is, `own` those that may with what is theirs; a
    token must have the `scope` as well."""

    scope: Scope
    everything: frozenset[Role]
    own: frozenset[Role] = frozenset()


PUBLIC = "public"
"""The handler's option that says so: what it tells is about nobody."""
OPEN = {PUBLIC: True}
ACCESS: Mapping[str, Access] = {
    "createOrder": Access(Scope.ORDERS_WRITE, STAFF, frozenset({CUSTOMER})),
    "showOrder": Access(Scope.ORDERS_READ, STAFF, frozenset({CUSTOMER, DRIVER})),
    "listOrders": Access(Scope.ORDERS_READ, STAFF, frozenset({CUSTOMER, DRIVER})),
    "showTimeline": Access(Scope.ORDERS_READ, STAFF, frozenset({CUSTOMER, DRIVER})),
    "followOrders": Access(Scope.ORDERS_READ, STAFF, frozenset({CUSTOMER, DRIVER})),
    "cancelOrder": Access(Scope.ORDERS_WRITE, STAFF, frozenset({CUSTOMER})),
    "deliverOrder": Access(Scope.ORDERS_WRITE, STAFF, frozenset({DRIVER})),
    "dispatchOrder": Access(Scope.ORDERS_WRITE, PEOPLE),
    "redispatchOrder": Access(Scope.ORDERS_WRITE, PEOPLE),
    "listCandidates": Access(Scope.DRIVERS_READ, PEOPLE),
    "registerDriver": Access(Scope.DRIVERS_WRITE, STAFF),
    "showDriver": Access(Scope.DRIVERS_READ, STAFF, frozenset({DRIVER})),
    "setDuty": Access(Scope.DRIVERS_WRITE, STAFF, frozenset({DRIVER})),
    "locateDriver": Access(Scope.DRIVERS_READ, STAFF, frozenset({DRIVER})),
    "moveDriver": Access(Scope.DRIVERS_WRITE, STAFF, frozenset({DRIVER})),
    "listDrivers": Access(Scope.DRIVERS_READ, STAFF),
    "moveDrivers": Access(Scope.DRIVERS_WRITE, STAFF),
    "listParkedMessages": Access(Scope.OPERATIONS, frozenset({ADMIN})),
    "countParkedMessages": Access(Scope.OPERATIONS, frozenset({ADMIN})),
    "showParkedMessage": Access(Scope.OPERATIONS, frozenset({ADMIN})),
    "replayParkedMessage": Access(Scope.OPERATIONS, frozenset({ADMIN})),
    "replayParkedMessages": Access(Scope.OPERATIONS, frozenset({ADMIN})),
    "listFailedEvents": Access(Scope.OPERATIONS, frozenset({ADMIN})),
    "retryFailedEvents": Access(Scope.OPERATIONS, frozenset({ADMIN})),
    "showIndicators": Access(Scope.OPERATIONS, STAFF),
}
"""By the `operationId` of the API's description; tests/auth holds every row against what is answered."""


@dataclass(frozen=True)
class Caller:
    """Somebody who may ask for this. `owner` is whose orders and records it may be about; None = anybody's."""

    principal: Principal
    owner: Owner | None = None

    @property
    def actor(self) -> str:
        """As histories name them."""
        return self.principal.actor

    def customer(self, named: str | None) -> str | None:
        """Whose order a new one is: a customer's is their own, whoever else orders may say for whom."""
        if self.owner is None:
            return named
        if named not in {None, self.owner.customer_id}:
            raise Invalid("customer_id", "must be left out, or be your own")
        return self.owner.customer_id

    def check_driver(self, driver_id: str) -> None:
        """To a driver there is no other one: `DriverNotFound` whether there is or not, before anything is looked up."""
        if self.owner is not None and driver_id != self.owner.driver_id:
            raise DriverNotFound(driver_id)

    def check_unrestricted(self, what: str) -> None:
        """`Forbidden` for those who may see but their own."""
        if self.owner is not None:
            raise PermissionDenied(f"{what} shows what is not yours")

    def called(self, actor: str) -> str:
        """What an actor is called to them: of others than themselves they learn the role and not the name."""
        return actor if self.owner is None or actor == self.actor else actor.partition(":")[0]


CallerPart = NamedDependency[SkipValidation[Caller]]
"""As handlers ask for it, by the name `caller`."""

ANONYMOUS_CALLER = Caller(ANONYMOUS)
"""Whoever asks while nobody is asked who they are (AUTH=off)."""


def admitted(principal: Principal, operation: str) -> Caller:
    """The principal as one who asks for that. `Forbidden` without a role or the scope that it needs."""
    access = ACCESS.get(operation)
    if access is None:
        raise PermissionDenied("this is for nobody")
    if access.scope not in principal.scopes:
        raise PermissionDenied(f"the token does not have the scope {access.scope}", access.scope)
    if principal.roles & access.everything:
        return Caller(principal)
    own = principal.roles & access.own
    if not own:
        raise PermissionDenied("none of your roles may do this")
    name = principal.subject
    return Caller(principal, Owner(name if CUSTOMER in own else None, name if DRIVER in own else None))
