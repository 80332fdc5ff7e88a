"""Exchange, queues, bindings, users and permissions in RabbitMQ's definitions format, for import by an operator.

The users have no passwords here: an operator must set one before a role can log in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain.messages import DISPATCH_QUEUE, FLEET_QUEUE, parking_queue

Json = dict[str, Any]
DEFAULT_EXCHANGE = "amq.default"
"""The name that permissions use for the default exchange, which routes to every queue by its name."""
HASHING_ALGORITHM = "rabbit_password_hashing_sha256"


@dataclass(frozen=True)
class RabbitPermissions:
    """A user may publish to the exchanges `writes` and consume the queues `reads`, and may not configure anything."""

    user: str
    writes: tuple[str, ...]
    reads: tuple[str, ...]


def permissions(topology: Topology) -> list[RabbitPermissions]:
    """The permissions of the roles' users. Replays and retries are published through the default exchange."""
    prefix, orders = topology.prefix, topology.exchange.name
    return [
        RabbitPermissions(f"{prefix}relay", (orders, DEFAULT_EXCHANGE), ()),
        RabbitPermissions(f"{prefix}worker", (DEFAULT_EXCHANGE,), _consumed(topology, DISPATCH_QUEUE)),
        RabbitPermissions(f"{prefix}fleet", (DEFAULT_EXCHANGE,), _consumed(topology, FLEET_QUEUE)),
    ]


def definitions(topology: Topology, vhost: str = "/") -> Json:
    """The definitions document for one virtual host."""
    users = permissions(topology)
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {"name": user.user, "password_hash": "", "hashing_algorithm": HASHING_ALGORITHM, "tags": []}
            for user in users
        ],
        "permissions": [
            {
                "user": user.user,
                "vhost": vhost,
                "configure": _pattern(()),
                "write": _pattern(user.writes),
                "read": _pattern(user.reads),
            }
            for user in users
        ],
        "exchanges": [_exchange(topology, vhost)],
        "queues": [
            {
                "name": queue.name,
                "vhost": vhost,
                "durable": queue.durable,
                "auto_delete": queue.auto_delete,
                "arguments": dict(queue.arguments or {}),
            }
            for queue in topology.declarations()
        ],
        "bindings": [
            {
                "source": topology.exchange.name,
                "vhost": vhost,
                "destination": topology.queue(name).name,
                "destination_type": "queue",
                "routing_key": routing_key,
                "arguments": {},
            }
            for name, types in topology.queues.items()
            for routing_key in types
        ],
    }


def _consumed(topology: Topology, queue: str) -> tuple[str, ...]:
    return tuple(topology.queue(name).name for name in (queue, parking_queue(queue)))


def _exchange(topology: Topology, vhost: str) -> Json:
    exchange = topology.exchange
    return {
        "name": exchange.name,
        "vhost": vhost,
        "type": exchange.type.value,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": False,
        "arguments": {},
    }


def _pattern(names: tuple[str, ...]) -> str:
    """A regular expression that matches exactly these names; `^$`, RabbitMQ's way to grant nothing, without names."""
    return f"^({'|'.join(map(re.escape, names))})$" if names else "^$"
