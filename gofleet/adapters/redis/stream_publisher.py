"""Publishes events to Redis Streams, the embedded alternative to RabbitMQ."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from redis.exceptions import RedisError

from gofleet.adapters.redis.connection import check_redis_writes, renew_connections
from gofleet.adapters.redis.names import StreamNames
from gofleet.adapters.redis.stream import (
    DATA,
    REDIS,
    encodable_headers,
    encode_entry,
    encode_headers,
    stream_broker,
)
from gofleet.domain.errors import GoFleetError, MessageRefused, Unavailable
from gofleet.domain.messages import QUEUES, Delivery, Message, needs_queue

if TYPE_CHECKING:
    from redis.asyncio.client import Pipeline

T = TypeVar("T")


class StreamsPublisher:
    """`Publisher` over Redis Streams: all messages of a call in one transaction, each into every queue of its type.

    Redis may be unavailable at any time. A confirmed message is as durable as Redis's `appendfsync` setting makes it.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "",
        timeout_seconds: float = 5.0,
        tls: SSLContext | None = None,
        queues: Mapping[str, tuple[str, ...]] = QUEUES,
    ) -> None:
        self._prefix = prefix
        self._names = StreamNames(prefix)
        self._timeout_seconds = timeout_seconds
        self._queues = queues
        self._broker = stream_broker(url, timeout_seconds, tls)

    async def __aenter__(self) -> Self:
        self._redis = await self._broker.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._broker.stop()

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        """As `ports.Publisher`."""
        return await self._execute(self._add_event, messages)

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        """As `ports.Publisher`."""
        return await self._execute(self._add_replay, deliveries)

    async def check(self) -> None:
        """Unavailable if publishing is impossible now."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await check_redis_writes(self._redis, self._prefix)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def _execute(
        self, add: Callable[[Pipeline, T], Awaitable[GoFleetError | None]], messages: Sequence[T]
    ) -> list[GoFleetError | None]:
        """Add all messages in one transaction; one outcome for each."""
        try:
            async with asyncio.timeout(self._timeout_seconds), self._redis.pipeline(transaction=True) as transaction:
                outcomes = [await add(transaction, message) for message in messages]
                await transaction.execute()
        except (RedisError, OSError) as error:
            await renew_connections(self._redis, error)
            return [_unavailable(error)] * len(messages)
        return outcomes

    async def _add_event(self, transaction: Pipeline, message: Message) -> GoFleetError | None:
        queues = [queue for queue, types in self._queues.items() if message.type in types]
        if not queues and needs_queue(message.type):
            return MessageRefused(f"no queue takes {message.type}")
        headers = encode_headers(message.headers())
        try:
            for queue in queues:
                await self._broker.publish(
                    message.body,
                    stream=self._names.stream(queue),
                    headers=headers,
                    correlation_id=message.event_id,
                    pipeline=transaction,
                )
        except (ValueError, struct.error) as error:
            return MessageRefused(f"it cannot be encoded: {error}")
        return None

    async def _add_replay(self, transaction: Pipeline, delivery: Delivery) -> GoFleetError | None:
        if delivery.queue not in self._queues:
            return MessageRefused(f"{delivery.queue} is no queue of ours")
        entry = await encode_entry(delivery.body, encodable_headers(delivery.headers))
        transaction.xadd(self._names.stream(delivery.queue), {DATA: entry})
        return None


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(REDIS, str(error) or type(error).__name__)
