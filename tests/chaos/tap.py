"""A queue bound to everything: each event as it was published, in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from gofleet.adapters.dispatcher import decode_headers
from gofleet.domain.messages import AGGREGATE_ID, EVENT_ID, EVENT_TYPE, SEQUENCE

QUEUE = "chaos.tap"
RECONNECT_SECONDS = 0.5


@dataclass(frozen=True)
class Tapped:
    """One message as it arrived."""

    routing_key: str
    body: bytes
    headers: Mapping[str, str]


@dataclass
class Tap:
    """Records into `path` (JSON lines) and `messages`; reconnects whenever the broker was unavailable."""

    url: str
    exchange: str
    path: Path
    messages: list[Tapped] = field(default_factory=list[Tapped])
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        while True:
            with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
                await self._listen_once()
            self.open.clear()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        lost = asyncio.Event()
        connection = await aio_pika.connect(f"{self.url}?heartbeat=5", timeout=5)

        def cut_off(*_: Any) -> None:
            lost.set()

        connection.close_callbacks.add(cut_off)
        async with connection:
            channel = await connection.channel()
            channel.close_callbacks.add(cut_off)
            await channel.set_qos(prefetch_count=500)
            exchange = await channel.declare_exchange(self.exchange, aio_pika.ExchangeType.TOPIC, durable=True)
            queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
            await queue.bind(exchange, "#")
            await queue.consume(self._record)
            self.open.set()
            await lost.wait()

    async def _record(self, message: AbstractIncomingMessage) -> None:
        tapped = Tapped(message.routing_key or "", message.body, decode_headers(message.headers))
        self.messages.append(tapped)
        line = {
            "event_id": tapped.headers.get(EVENT_ID),
            "type": tapped.headers.get(EVENT_TYPE, tapped.routing_key),
            "order_id": tapped.headers.get(AGGREGATE_ID),
            "sequence": int(tapped.headers.get(SEQUENCE, "0")),
        }
        with self.path.open("a") as out:
            out.write(json.dumps(line) + "\n")
        with suppress(*CONNECTION_EXCEPTIONS):  # it will come again, which a reader of the tap must bear anyway
            await message.ack()


@asynccontextmanager
async def tapping(url: str, exchange: str, path: Path) -> AsyncGenerator[Tap]:
    """A tap that is open, for the length of the block."""
    path.touch()
    tap = Tap(url, exchange, path)
    listening = asyncio.create_task(tap.listen())
    try:
        async with asyncio.timeout(15):
            await tap.open.wait()
        yield tap
    finally:
        listening.cancel()
        await asyncio.wait({listening})
