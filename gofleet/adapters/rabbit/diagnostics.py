"""The state of a RabbitMQ server: its version, whether our topology exists as declared, and the depth of each queue.
Nothing is created and nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote

import httpx
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    ChannelClosed,
    ChannelNotFoundEntity,
)
from aiormq.exceptions import ChannelAccessRefused

from gofleet.adapters.rabbit.amqp import server_version
from gofleet.adapters.rabbit.connection import RABBIT, RabbitServer
from gofleet.adapters.rabbit.topology import Topology, find_missing
from gofleet.domain.errors import Unavailable
from gofleet.ports import Depth

STATISTICS_SECONDS = 10.0
MANAGEMENT_SECONDS = 10.0
"""The age that statistics of the management API may have."""

_Declare = Callable[[AbstractChannel], Awaitable[object]]


@dataclass
class RabbitState:
    """`missing` names what does not exist, `other` maps names to how they differ from our declaration, `refused` to
    why we may not declare them; `expected` is how many there should be."""

    version: str
    expected: int
    missing: list[str] = field(default_factory=list[str])
    other: dict[str, str] = field(default_factory=dict[str, str])
    refused: dict[str, str] = field(default_factory=dict[str, str])


async def rabbit_state(server: RabbitServer, topology: Topology) -> RabbitState:
    """How our exchange and queues differ, if we declare them; else whether they exist.

    `LoginRefused` if RabbitMQ rejects the credentials, `Unavailable` without an answer."""
    try:
        async with asyncio.timeout(10 * server.connect_seconds):
            async with await server.connect() as connection:
                return await _state(connection, topology)
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise Unavailable(RABBIT, str(error) or type(error).__name__) from error


async def queue_depths(server: RabbitServer, topology: Topology) -> tuple[list[Depth], list[str]]:
    """The depth of each queue (AMQP does not report `held`), and the names of missing queues."""
    depths, missing = list[Depth](), list[str]()
    try:
        async with asyncio.timeout(10 * server.connect_seconds):
            async with await server.connect() as connection:
                for name in topology.names():
                    try:
                        async with connection.channel() as channel:
                            queue = await channel.declare_queue(name, passive=True)
                            depths.append(Depth(name, queue.declaration_result.message_count or 0))
                    except ChannelClosed:
                        missing.append(name)
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise Unavailable(RABBIT, str(error) or type(error).__name__) from error
    return depths, missing


async def held_by_consumers(management_url: str, server: RabbitServer, topology: Topology) -> list[Depth]:
    """The depth of each queue by the management API at `management_url`, read again while it may be out of date."""
    path = f"{management_url.rstrip('/')}/api/queues/{quote(server.vhost, safe='')}"
    auth = None if "@" in management_url else (server.user, server.password)
    until = asyncio.get_running_loop().time() + STATISTICS_SECONDS
    try:
        async with httpx.AsyncClient(auth=auth, timeout=MANAGEMENT_SECONDS, trust_env=False) as http:
            while True:
                async with asyncio.timeout(MANAGEMENT_SECONDS):
                    response = (await http.get(path)).raise_for_status()
                rows = cast("list[dict[str, Any]]", response.json())
                depths = _depths(rows, set(topology.names()))
                empty = all(depth.ready == 0 and not depth.held for depth in depths)
                if empty or asyncio.get_running_loop().time() > until:
                    return depths
                await asyncio.sleep(1)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        raise Unavailable("RabbitMQ's management API", str(error) or type(error).__name__) from error


async def _state(connection: AbstractConnection, topology: Topology) -> RabbitState:
    exchange, queues = topology.exchange, topology.declarations()
    state = RabbitState(server_version(connection), expected=1 + len(queues))
    if not topology.declared_by_us:
        state.missing = await find_missing(connection, topology)
        return state

    async def examine(name: str, passive: _Declare, active: _Declare) -> None:
        """Declare passively first: declaring what exists changes nothing, and RabbitMQ reports a difference."""
        try:
            async with connection.channel() as channel:
                await passive(channel)
            async with connection.channel() as channel:
                await active(channel)
        except ChannelNotFoundEntity:
            state.missing.append(name)
        except ChannelAccessRefused as error:
            state.refused[name] = str(error)
        except ChannelClosed as error:
            state.other[name] = str(error)

    await examine(
        exchange.name,
        lambda channel: channel.get_exchange(exchange.name),
        lambda channel: channel.declare_exchange(exchange.name, exchange.type.value, durable=True),
    )
    for queue in queues:
        arguments: Any = dict(queue.arguments)
        await examine(
            queue.name,
            lambda channel, name=queue.name: channel.declare_queue(name, passive=True),
            lambda channel, name=queue.name, arguments=arguments: channel.declare_queue(
                name, durable=True, arguments=arguments
            ),
        )
    return state


def _depths(rows: list[dict[str, Any]], names: set[str]) -> list[Depth]:
    return [
        Depth(str(row["name"]), int(row.get("messages_ready", 0)), int(row.get("messages_unacknowledged", 0)))
        for row in rows
        if row.get("name") in names
    ]
