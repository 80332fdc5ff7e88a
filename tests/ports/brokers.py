"""The three brokers, each with the operations that tests need from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import uuid4

import aio_pika
from redis.asyncio import Redis

from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.consumer import RabbitConsumer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import Topology
from gofleet.adapters.redis.names import StreamNames
from gofleet.adapters.redis.stream import DATA, encode_entry
from gofleet.adapters.redis.stream_consumer import StreamsConsumer
from gofleet.adapters.redis.stream_publisher import StreamsPublisher
from gofleet.adapters.supervision import Supervisor
from gofleet.domain.messages import Delivery, parking_queue
from gofleet.embedded import RabbitAddress, ValkeyAddress
from gofleet.ports import Consumer, Publisher
from gofleet.testing.broker import MemoryBroker, QueuedMessage
from tests.ports.proxy import a_proxy

DELIVERY_LIMIT = 2
TIERS_SECONDS = (0.3, 1.0)
PREFIX = "test-"


class Cuttable(Protocol):
    """The network connection to the broker."""

    async def cut(self) -> None: ...
    async def allow(self) -> None: ...


class Watched(Consumer, Protocol):
    """A consumer with a supervisor, which reports whether it consumes."""

    @property
    def supervisor(self) -> Supervisor: ...


class Broker(Protocol):
    def publisher(self) -> AbstractAsyncContextManager[tuple[Publisher, Cuttable]]: ...
    def consumer(
        self, *, grace_seconds: float = 10.0, min_idle_seconds: float = 30.0
    ) -> AbstractAsyncContextManager[tuple[Watched, Cuttable]]: ...
    async def put(self, queue: str, body: bytes, headers: Mapping[str, str]) -> None: ...
    async def size(self, queue: str) -> int:
        """Messages in the queue or waiting for a retry, while no consumer runs."""
        ...


class MemoryWay:
    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def cut(self) -> None:
        self._broker.disconnect()

    async def allow(self) -> None:
        self._broker.reconnect()


class MemoryBench:
    def __init__(self) -> None:
        self._broker = MemoryBroker(delivery_limit=DELIVERY_LIMIT)

    @asynccontextmanager
    async def publisher(self) -> AsyncGenerator[tuple[Publisher, Cuttable]]:
        yield self._broker, MemoryWay(self._broker)

    @asynccontextmanager
    async def consumer(
        self, *, grace_seconds: float = 10.0, min_idle_seconds: float = 30.0
    ) -> AsyncGenerator[tuple[Watched, Cuttable]]:
        self._broker.grace_seconds = grace_seconds
        yield self._broker, MemoryWay(self._broker)

    async def put(self, queue: str, body: bytes, headers: Mapping[str, str]) -> None:
        self._broker.queue(queue).put(QueuedMessage(Delivery(queue, body, dict(headers))))

    async def size(self, queue: str) -> int:
        found = self._broker.queue(queue)
        return len(found.waiting) + len(found.held) + len(found.retries)


@dataclass
class StreamsBench:
    address: ValkeyAddress
    prefix: str

    def url(self, port: int) -> str:
        """URL of the server behind a proxy at `port`."""
        return replace(self.address, port=port).url

    def client(self) -> Redis:
        return Redis(port=self.address.port, password=self.address.password)

    @asynccontextmanager
    async def publisher(self) -> AsyncGenerator[tuple[Publisher, Cuttable]]:
        async with (
            a_proxy(self.address.port) as proxy,
            StreamsPublisher(self.url(proxy.port), prefix=self.prefix, timeout_seconds=2) as publisher,
        ):
            yield publisher, proxy

    @asynccontextmanager
    async def consumer(
        self, *, grace_seconds: float = 10.0, min_idle_seconds: float = 30.0
    ) -> AsyncGenerator[tuple[Watched, Cuttable]]:
        async with a_proxy(self.address.port) as proxy:
            yield (
                StreamsConsumer(
                    self.url(proxy.port),
                    prefix=self.prefix,
                    min_idle_seconds=min_idle_seconds,
                    delivery_limit=DELIVERY_LIMIT,
                    grace_seconds=grace_seconds,
                    poll_seconds=0.05,
                ),
                proxy,
            )

    async def put(self, queue: str, body: bytes, headers: Mapping[str, str]) -> None:
        async with self.client() as redis:
            await redis.xadd(StreamNames(self.prefix).stream(queue), {DATA: await encode_entry(body, headers)})

    async def size(self, queue: str) -> int:
        names = StreamNames(self.prefix)
        async with self.client() as redis:
            return await redis.xlen(names.stream(queue)) + await redis.zcard(names.later(queue))


class RabbitBench:
    def __init__(self, address: RabbitAddress) -> None:
        self._address = address
        self.topology = Topology(PREFIX, TIERS_SECONDS, DELIVERY_LIMIT)

    def server(self, port: int | None = None) -> RabbitServer:
        at = self._address
        return RabbitServer(at.host, port or at.port, at.user, at.password, at.vhost)

    @asynccontextmanager
    async def publisher(self) -> AsyncGenerator[tuple[Publisher, Cuttable]]:
        async with (
            a_proxy(self._address.port) as proxy,
            RabbitPublisher(self.server(proxy.port), self.topology, timeout_seconds=2) as publisher,
        ):
            yield publisher, proxy

    @asynccontextmanager
    async def consumer(
        self, *, grace_seconds: float = 10.0, min_idle_seconds: float = 30.0
    ) -> AsyncGenerator[tuple[Watched, Cuttable]]:
        async with a_proxy(self._address.port) as proxy:
            server = self.server(proxy.port)
            yield RabbitConsumer(server, self.topology, grace_seconds=grace_seconds, reconnect_seconds=0.1), proxy

    async def put(self, queue: str, body: bytes, headers: Mapping[str, str]) -> None:
        async with RabbitPublisher(self.server(), self.topology):
            pass  # declares
        async with await aio_pika.connect(self._address.url) as connection, connection.channel() as channel:
            message = aio_pika.Message(body, headers=dict(headers), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, PREFIX + queue)

    async def size(self, queue: str) -> int:
        tiers = [] if queue.endswith(parking_queue("")) else [f"{queue}.retry.{tier:g}s" for tier in TIERS_SECONDS]
        async with await aio_pika.connect(self._address.url) as connection, connection.channel() as channel:
            queues = [await channel.declare_queue(PREFIX + name, passive=True) for name in [queue, *tiers]]
            return sum(queue.declaration_result.message_count or 0 for queue in queues)


def a_prefix() -> str:
    return f"test-{uuid4().hex[:8]}:"
