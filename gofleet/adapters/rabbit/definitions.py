"""Exchange, queues, bindings and users as RabbitMQ imports them, so that the roles need not declare anything.

Nobody can log in as one of these users until it is given a password, which is no part of this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain.messages import DISPATCH_QUEUE, FLEET_QUEUE, parking_queue

Json = dict[str, Any]
DEFAULT_EXCHANGE = "amq.default"
"""What permissions call the exchange that knows every queue by its name."""
HASHING = "rabbit_password_hashing_sha256"


@dataclass(frozen=True)
class RabbitPermissions:
    """What a user may: publish to the exchanges `writes`, consume the queues `reads`. Nobody makes or deletes."""

    user: str
    writes: tuple[str, ...]
    reads: tuple[str, ...]


def permissions(topology: Topology) -> list[RabbitPermissions]:
    """Of the roles' users. Replays and retries go through the default exchange, to a queue by its name."""
    prefix, orders = topology.prefix, topology.exchange.name
    return [
        RabbitPermissions(f"{prefix}relay", (orders, DEFAULT_EXCHANGE), ()),
        RabbitPermissions(f"{prefix}worker", (DEFAULT_EXCHANGE,), _consumed(topology, DISPATCH_QUEUE)),
        RabbitPermissions(f"{prefix}fleet", (DEFAULT_EXCHANGE,), _consumed(topology, FLEET_QUEUE)),
    ]


def definitions(topology: Topology, vhost: str = "/") -> Json:
    """All of it, in that virtual host."""
    users = permissions(topology)
    return {
        "vhosts": [{"name": vhost}],
        "users": [{"name": one.user, "password_hash": "", "hashing_algorithm": HASHING, "tags": []} for one in users],
        "permissions": [
            {
                "user": one.user,
                "vhost": vhost,
                "configure": _matching(()),
                "write": _matching(one.writes),
                "read": _matching(one.reads),
            }
            for one in users
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


def _matching(names: tuple[str, ...]) -> str:
    """A regular expression of exactly these names; of none, what RabbitMQ takes for no right at all."""
    return f"^({'|'.join(map(re.escape, names))})$" if names else "^$"
