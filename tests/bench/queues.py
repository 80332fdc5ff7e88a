"""The broker itself: queues taken away again, and how fast it takes the same messages from a bare client."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import aio_pika
import uvloop
from aio_pika.abc import AbstractExchange

from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain.messages import Message
from tests.bench.servers import Measured, Servers

AT_ONCE = 100
"""Messages whose confirms are awaited together: a relay's batch."""


async def forget(servers: Servers, measured: Measured) -> None:
    """Delete its queues, with what is in them: it would be a burden to all that comes later."""
    topology = Topology(measured.installation.environment["NAME_PREFIX"])
    async with await aio_pika.connect(servers.rabbit.address.url) as connection:
        channel = await connection.channel()
        for name in topology.names():
            await channel.queue_delete(name)


@dataclass(frozen=True)
class ByAioPika:
    """As many messages as a relay would publish, persistent, mandatory and confirmed, in a process of its own that does
    nothing else: messages a second."""

    url: str
    prefix: str
    body: bytes
    count: int

    def __call__(self) -> float:
        return uvloop.run(self._publish())

    async def _publish(self) -> float:
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            exchange = await channel.get_exchange(Topology(self.prefix).exchange.name)
            began = time.perf_counter()
            for first in range(0, self.count, AT_ONCE):
                numbers = range(first, min(first + AT_ONCE, self.count))
                await asyncio.gather(*(_publish(exchange, self._message(number)) for number in numbers))
            return self.count / (time.perf_counter() - began)

    def _message(self, number: int) -> Message:
        event_id = f"00000000-0000-7000-8000-{number:012}"
        return Message(event_id, "orders.created", f"bare-{number:012}", 1, self.body)


async def _publish(exchange: AbstractExchange, message: Message) -> None:
    sent = aio_pika.Message(
        message.body,
        headers=dict(message.headers()),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message.event_id,
    )
    await exchange.publish(sent, message.type, mandatory=True)
