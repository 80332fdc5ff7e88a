"""The embedded broker: Redis Streams behind the same ports as RabbitMQ."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from redis.exceptions import RedisError

from gofleet.adapters.dispatcher import Dispatcher
from gofleet.adapters.redis.stream import RedisStream
from gofleet.adapters.redis.stream_subscription import StreamLimits, StreamSubscription
from gofleet.adapters.redis.stream_wire import (
    DATA,
    REDIS,
    StreamNames,
    encodable_headers,
    encode_entry,
    encode_headers,
    stream_broker,
)
from gofleet.adapters.supervision import Supervisor
from gofleet.domain.errors import GoFleetError, MessageRefused, Unavailable
from gofleet.domain.messages import QUEUES, Delivery, Handler, Message

if TYPE_CHECKING:
    from redis.asyncio.client import Pipeline

T = TypeVar("T")


class StreamsPublisher:
    """Publisher over Redis Streams: all messages of one call in one transaction, each into every queue of its type.

    It outlives Redis being away. What Redis confirms is as safe as its `appendfsync` setting makes it.
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
        return await self._all(self._add, messages)

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        """As `ports.Publisher`."""
        return await self._all(self._return, deliveries)

    async def check(self) -> None:
        """Whether it could publish now: Unavailable if not."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await cast("Any", self._redis).ping()
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def _all(
        self, add: Callable[[Pipeline, T], Awaitable[GoFleetError | None]], messages: Sequence[T]
    ) -> list[GoFleetError | None]:
        try:
            async with asyncio.timeout(self._timeout_seconds), self._redis.pipeline(transaction=True) as transaction:
                answers = [await add(transaction, message) for message in messages]
                await transaction.execute()
        except (RedisError, OSError) as error:
            return [_unavailable(error)] * len(messages)
        return answers

    async def _return(self, transaction: Pipeline, delivery: Delivery) -> GoFleetError | None:
        if delivery.queue not in self._queues:
            return MessageRefused(f"{delivery.queue} is no queue of ours")
        entry = await encode_entry(delivery.body, encodable_headers(delivery.headers))
        transaction.xadd(self._names.stream(delivery.queue), {DATA: entry})
        return None

    async def _add(self, transaction: Pipeline, message: Message) -> GoFleetError | None:
        queues = [queue for queue, types in self._queues.items() if message.type in types]
        if not queues:
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
            return MessageRefused(f"it cannot be written: {error}")
        return None


class StreamsConsumer:
    """Consumer over Redis Streams. Keep `watch` in the process: it raises when consuming ended for good.

    A message whose consumer is silent for `min_idle_seconds` is given to another, at most `delivery_limit` times
    more, then parked. At the end of a block running handlers have `grace_seconds`.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "",
        min_idle_seconds: float = 30.0,
        delivery_limit: int = 10,
        grace_seconds: float = 20.0,
        poll_seconds: float = 0.2,
        timeout_seconds: float = 5.0,
        tls: SSLContext | None = None,
    ) -> None:
        self.supervisor = Supervisor()
        self._url = url
        self._names = StreamNames(prefix)
        self._bounds = StreamLimits(min_idle_seconds, delivery_limit, poll_seconds, grace_seconds)
        self._timeout_seconds = timeout_seconds
        self._tls = tls

    @asynccontextmanager
    async def consuming(self, queue: str, handler: Handler, *, concurrency: int, prefetch: int) -> AsyncGenerator[None]:
        """As `ports.Consumer`. If Redis is away it begins when it is back."""
        stream = RedisStream(stream_broker(self._url, self._timeout_seconds, self._tls), self._names, queue)
        dispatcher = Dispatcher(handler, concurrency)
        line = StreamSubscription(
            stream, queue, dispatcher, prefetch=prefetch, bounds=self._bounds, supervisor=self.supervisor
        )
        async with self.supervisor.running(queue, line.consume):
            yield


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(REDIS, str(error) or type(error).__name__)
