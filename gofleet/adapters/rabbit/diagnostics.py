"""What a RabbitMQ is like, and whether it has what we declare; nothing is created and nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    ChannelClosed,
    ChannelNotFoundEntity,
    ConnectionClosed,
    ProbableAuthenticationError,
    ProtocolSyntaxError,
)
from aiormq.exceptions import ChannelAccessRefused

from gofleet.adapters.rabbit.connection import RABBIT, RabbitServer
from gofleet.adapters.rabbit.presence import find_missing
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain.errors import LoginRefused, Unavailable


@dataclass
class RabbitState:
    """`missing` are the names of what does not exist, `other` tells how what exists differs from ours, `refused` why we
    may not declare it; `whole` is how many there should be."""

    version: str
    whole: int
    missing: list[str] = field(default_factory=list[str])
    other: dict[str, str] = field(default_factory=dict[str, str])
    refused: dict[str, str] = field(default_factory=dict[str, str])


async def rabbit_state(server: RabbitServer, topology: Topology) -> RabbitState:
    """How our exchange and queues differ, if we declare them; else whether they are there.

    `LoginRefused` if it does not let us in, `Unavailable` without an answer."""
    try:
        async with asyncio.timeout(10 * server.connect_seconds):
            connection = await _connection(server)
            async with connection:
                return await _state(connection, topology)
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise Unavailable(RABBIT, str(error) or type(error).__name__) from error


async def _connection(server: RabbitServer) -> AbstractConnection:
    try:
        return await server.connect()
    except ProbableAuthenticationError as error:
        raise LoginRefused(RABBIT, f"{server.user} and its password are not accepted") from error
    except ConnectionClosed as error:
        raise LoginRefused(RABBIT, str(error)) from error
    except ProtocolSyntaxError as error:
        # It closes instead of opening the virtual host, and the client does not tell why.
        why = f"there is no virtual host {server.vhost}, or {server.user} may not use it"
        raise LoginRefused(RABBIT, why) from error


async def _state(connection: AbstractConnection, topology: Topology) -> RabbitState:
    exchange, queues = topology.exchange, topology.declarations()
    state = RabbitState(_version(connection), whole=1 + len(queues))
    if not topology.declared_by_us:
        state.missing = await find_missing(connection, topology)
        return state

    async def look(name: str, passive: Callable[[AbstractChannel], Awaitable[object]], same: _Act) -> None:
        """Ask for it by name first. To declare what exists changes nothing, and RabbitMQ tells if ours is another."""
        try:
            async with connection.channel() as channel:
                await passive(channel)
            async with connection.channel() as channel:
                await same(channel)
        except ChannelNotFoundEntity:
            state.missing.append(name)
        except ChannelAccessRefused as error:
            state.refused[name] = str(error)
        except ChannelClosed as error:
            state.other[name] = str(error)

    await look(
        exchange.name,
        lambda channel: channel.get_exchange(exchange.name),
        lambda channel: channel.declare_exchange(exchange.name, exchange.type.value, durable=True),
    )
    for queue in queues:
        arguments: Any = dict(queue.arguments)
        await look(
            queue.name,
            lambda channel, name=queue.name: channel.declare_queue(name, passive=True),
            lambda channel, name=queue.name, arguments=arguments: channel.declare_queue(
                name, durable=True, arguments=arguments
            ),
        )
    return state


_Act = Callable[[AbstractChannel], Awaitable[object]]


def _version(connection: AbstractConnection) -> str:
    transport = connection.transport
    properties: dict[str, Any] = getattr(transport.connection, "server_properties", {}) if transport else {}
    return str(properties.get("version", ""))
