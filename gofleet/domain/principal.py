"""Authenticated callers: their roles, scopes, and the name under which the history records them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from gofleet.domain.values import IDENTIFIER

Actor = str
"""Name of what changed an order, as recorded in its history: one of the three below, or a principal's."""

CLIENT: Actor = "client"
WORKER: Actor = "worker"
SWEEPER: Actor = "sweeper"


class Role(StrEnum):
    """Role of a principal.

    Customers and drivers see their own orders, dispatchers see all orders, admins also operate the dead-letter storage;
    a service is another system that acts for its own users.
    """

    CUSTOMER = "customer"
    DRIVER = "driver"
    DISPATCHER = "dispatcher"
    ADMIN = "admin"
    SERVICE = "service"


class Scope(StrEnum):
    """OAuth scope: limits what a client may do on behalf of a principal, within that principal's roles."""

    ORDERS_READ = "orders:read"
    ORDERS_WRITE = "orders:write"
    DRIVERS_READ = "drivers:read"
    DRIVERS_WRITE = "drivers:write"
    OPERATIONS = "operations"


HASHED = "x-"
"""Prefix of ids that are hashes of subjects; no other id of a principal begins with it."""
HASH_CHARS = 32


def principal_id(subject: str) -> str:
    """The customer's or driver's id for an issuer's `sub`: the same text if that is a valid id, otherwise `x-` and the
    first half of its SHA-256. Issuers also give e-mail addresses, `auth0|507f` or 255 characters, and an encoding of
    those in 64 characters could give two users one id. `UnicodeEncodeError` if it contains a lone surrogate."""
    if IDENTIFIER.fullmatch(subject) and not subject.startswith(HASHED):
        return subject
    return HASHED + hashlib.sha256(subject.encode()).hexdigest()[:HASH_CHARS]


@dataclass(frozen=True)
class Principal:
    """Authenticated caller. `subject` is a customer's or a driver's id (`principal_id`)."""

    subject: str
    roles: frozenset[Role]
    scopes: frozenset[Scope]
    actor: Actor

    @classmethod
    def named(cls, subject: str, roles: frozenset[Role], scopes: frozenset[Scope]) -> Principal:
        """Principal whose actor is its first role and its subject, such as `dispatcher:ana`.

        The prefix keeps a subject named `worker` apart from the worker itself.
        """
        first = next((role.value for role in Role if role in roles), "nobody")
        return cls(subject, roles, scopes, f"{first}:{subject}")


ANONYMOUS = Principal(CLIENT, frozenset(Role), frozenset(Scope), CLIENT)
"""Principal of every request when authentication is off (AUTH=off): all roles and scopes."""
