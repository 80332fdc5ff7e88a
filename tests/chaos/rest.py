"""Waiting until a world has nothing left to do."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from urllib.parse import quote

import aio_pika
import httpx
import psycopg
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from tests.chaos.bounds import T_MAX_SECONDS
from tests.chaos.rig import World
from tests.chaos.tap import QUEUE

PAUSE_SECONDS = 2 * T_MAX_SECONDS + 20
"""What is promised is T_MAX and a sweep; twice that, for a machine that has other things to do as well."""
LOOK_SECONDS = 0.3
UNDONE = """
    select (select count(*) from orders where status = 'PENDING'),
           (select count(*) from outbox where published_at is null)
"""


async def rest(world: World, within: float = PAUSE_SECONDS) -> list[str]:
    """Empty once no order waits, the outbox is empty and so are the queues; else what is left after `within` s."""
    until = time.monotonic() + within
    calm = 0
    while True:
        left = await _left(world)
        calm = 0 if left else calm + 1
        if calm == 2:  # twice, for what was between two places the first time
            return []
        if left and time.monotonic() > until:
            return [f"not at rest after {within:g} s: {', '.join(left)}"]
        await asyncio.sleep(LOOK_SECONDS)


async def _left(world: World) -> list[str]:
    try:
        async with world.connection() as connection:
            row = await (await connection.execute(UNDONE)).fetchone()
    except psycopg.OperationalError as error:
        return [f"PostgreSQL: {error}".splitlines()[0]]
    waiting, unpublished = row or (0, 0)
    left = [f"{waiting} orders wait"] if waiting else []
    left += [f"{unpublished} events are unpublished"] if unpublished else []
    return left or [f"{count} messages in {name}" for name, count in (await queues(world)).items() if count]


async def queues(world: World) -> dict[str, int]:
    """Ready messages by queue, as RabbitMQ knows them at this moment (its HTTP API is seconds behind)."""
    names = await queue_names(world)
    found: dict[str, int] = {}
    with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
        async with await aio_pika.connect(world.rabbit.url, timeout=5) as connection, connection.channel() as channel:
            for name in names:
                queue = await channel.declare_queue(name, passive=True)
                found[name] = queue.declaration_result.message_count or 0
        return found
    return {"RabbitMQ, which does not respond": 1}


async def queue_names(world: World) -> list[str]:
    """All of the world's queues but the tap."""
    at = world.rabbit
    async with httpx.AsyncClient(auth=(at.user, at.password), timeout=10, trust_env=False) as http:
        with suppress(httpx.HTTPError):
            answer = await http.get(f"{at.management_url}/api/queues/{quote(at.vhost, safe='')}?columns=name")
            if answer.is_success:
                return [queue["name"] for queue in answer.json() if queue["name"] != QUEUE]
    return []
