"""How many messages lie in our queues on RabbitMQ."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import quote

import httpx
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelClosed

from gofleet.adapters.rabbit.connection import RABBIT, RabbitServer
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain.errors import Unavailable
from gofleet.ports import Depth

STATISTICS_SECONDS = 10.0
"""What the management API tells may be so old."""


async def queue_depths(server: RabbitServer, topology: Topology) -> tuple[list[Depth], list[str]]:
    """The depth of each queue (`held` is not known over AMQP), and the names of those that do not exist."""
    depths, lacking = list[Depth](), list[str]()
    try:
        async with asyncio.timeout(10 * server.connect_seconds):
            connection = await server.connect()
            async with connection:
                for name in topology.names():
                    try:
                        async with connection.channel() as channel:
                            queue = await channel.declare_queue(name, passive=True)
                            depths.append(Depth(name, queue.declaration_result.message_count or 0))
                    except ChannelClosed:
                        lacking.append(name)
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise Unavailable(RABBIT, str(error) or type(error).__name__) from error
    return depths, lacking


async def held_by_consumers(management_url: str, server: RabbitServer, topology: Topology) -> list[Depth]:
    """The depth of each queue by the management API at `management_url`, read again while it may be out of date."""
    path = f"{management_url.rstrip('/')}/api/queues/{quote(server.vhost, safe='')}"
    auth = None if "@" in management_url else (server.user, server.password)
    until = asyncio.get_running_loop().time() + STATISTICS_SECONDS
    try:
        async with httpx.AsyncClient(auth=auth, timeout=10, trust_env=False) as http:
            while True:
                answer = (await http.get(path)).raise_for_status()
                rows = cast("list[dict[str, Any]]", answer.json())
                depths = _depths(rows, set(topology.names()))
                quiet = all(depth.ready == 0 and not depth.held for depth in depths)
                if quiet or asyncio.get_running_loop().time() > until:
                    return depths
                await asyncio.sleep(1)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Unavailable("RabbitMQ's management API", str(error) or type(error).__name__) from error


def _depths(rows: list[dict[str, Any]], names: set[str]) -> list[Depth]:
    return [
        Depth(str(row["name"]), int(row.get("messages_ready", 0)), int(row.get("messages_unacknowledged", 0)))
        for row in rows
        if row.get("name") in names
    ]
