"""Who asks, and what they may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gofleet.domain.actor import CLIENT, Actor


class Role(StrEnum):
    """What somebody is to us: customers and drivers have orders of their own, dispatchers see to all of them, admins
    also to messages that were given up; a service is another system that acts for its own users."""

    CUSTOMER = "customer"
    DRIVER = "driver"
    DISPATCHER = "dispatcher"
    ADMIN = "admin"
    SERVICE = "service"


class Scope(StrEnum):
    """What a client was allowed to do on somebody's behalf: what they may do themselves and the client may not, it
    cannot do for them."""

    ORDERS_READ = "orders:read"
    ORDERS_WRITE = "orders:write"
    DRIVERS_READ = "drivers:read"
    DRIVERS_WRITE = "drivers:write"
    OPERATIONS = "operations"


@dataclass(frozen=True)
class Principal:
    """Somebody who was let in. `subject` is the name that the issuer gave them for good: a customer's id and a driver's
    id are theirs."""

    subject: str
    roles: frozenset[Role]
    scopes: frozenset[Scope]
    actor: Actor

    @classmethod
    def named(cls, subject: str, roles: frozenset[Role], scopes: frozenset[Scope]) -> Principal:
        """In a history they are called by the first of their roles and their name, such as `dispatcher:ana`: nobody
        can take a name that is ours."""
        first = next((role.value for role in Role if role in roles), "nobody")
        return cls(subject, roles, scopes, f"{first}:{subject}")


ANONYMOUS = Principal(CLIENT, frozenset(Role), frozenset(Scope), CLIENT)
"""Whoever asks while nobody is asked who they are (AUTH=off)."""
