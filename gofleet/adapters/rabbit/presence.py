"""Whether RabbitMQ has what we need, asked by name: that takes no right to anything, and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import aiormq
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from gofleet.adapters.rabbit.topology import Topology

Look = Callable[[aiormq.Channel], Awaitable[object]]
NAMED = 3
"""So many names are told, the others counted."""


async def find_missing(connection: AbstractConnection, topology: Topology) -> list[str]:
    """The names of the exchange and the queues that are not there. Of bindings nobody can ask."""
    if connection.transport is None:
        raise ConnectionError("the connection was lost again")
    link: Any = connection.transport.connection  # its own types are open in places
    missing = list[str]()
    channel = await link.channel()
    for name, look in _looks(topology):
        try:
            await look(channel)
        except ChannelNotFoundEntity:  # and RabbitMQ has closed the channel
            missing.append(name)
            channel = await link.channel()
    await channel.close()
    return missing


def summarize_names(names: Sequence[str]) -> str:
    """For people."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _looks(topology: Topology) -> list[tuple[str, Look]]:
    exchange = topology.exchange
    looks: list[tuple[str, Look]] = [(exchange.name, partial(_exchange, name=exchange.name))]
    return looks + [(name, partial(_queue, name=name)) for name in topology.names()]


async def _exchange(channel: aiormq.Channel, name: str) -> None:
    await channel.exchange_declare(name, passive=True)


async def _queue(channel: aiormq.Channel, name: str) -> None:
    await channel.queue_declare(name, passive=True)
