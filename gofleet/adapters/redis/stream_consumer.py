"""Consumer of Redis Streams, with the retries, redelivery and delivery limit that RabbitMQ has built in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from ssl import SSLContext

from loguru import logger
from redis.exceptions import RedisError

from gofleet.adapters.dispatcher import Dispatcher
from gofleet.adapters.redis.names import StreamNames
from gofleet.adapters.redis.stream import Entry, RedisStream, decode_entry, encode_entry, stream_broker
from gofleet.adapters.supervision import Supervisor, jittered
from gofleet.domain.messages import ATTEMPT, QUEUES, Delivery, Handler, Retry
from gofleet.waiting import cancel_and_wait, first_of, sleep_unless

RETRY_DELAY_SECONDS = 1.0
UNLIMITED = -1


class StreamsConsumer:
    """`Consumer` over Redis Streams. Run `supervisor` in the process: it raises when consuming has ended.

    A message whose consumer is idle for `min_idle_seconds` is redelivered to another consumer, at most `delivery_limit`
    times more, then parked. Retries and redeliveries may be late by `poll_seconds`. At the end of a block running
    handlers have `grace_seconds`.
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
        self._limits = _Limits(min_idle_seconds, delivery_limit, poll_seconds, grace_seconds)
        self._timeout_seconds = timeout_seconds
        self._tls = tls

    @asynccontextmanager
    async def consuming(self, queue: str, handler: Handler, *, concurrency: int, prefetch: int) -> AsyncGenerator[None]:
        """As `ports.Consumer`. While Redis is unavailable it waits."""
        stream = RedisStream(stream_broker(self._url, self._timeout_seconds, self._tls), self._names, queue)
        subscription = _StreamSubscription(
            stream,
            queue,
            Dispatcher(handler, concurrency),
            prefetch=prefetch,
            limits=self._limits,
            supervisor=self.supervisor,
        )
        async with self.supervisor.running(queue, subscription.consume):
            yield


@dataclass(frozen=True)
class _Limits:
    """As in `StreamsConsumer`."""

    min_idle_seconds: float
    delivery_limit: int
    poll_seconds: float
    grace_seconds: float

    def for_queue(self, queue: str) -> _Limits:
        """A parked message is not parked again."""
        return self if queue in QUEUES else replace(self, delivery_limit=UNLIMITED)


@dataclass(frozen=True)
class _StreamIncomingMessage:
    """`IncomingMessage`: one entry that is pending for this consumer; `held` are the ids of all of them."""

    delivery: Delivery
    id: bytes
    stream: RedisStream
    held: set[bytes]

    async def ack(self) -> None:
        with self._releasing():
            await self.stream.ack(self.id)

    async def retry_later(self, retry: Retry) -> None:
        headers = {**self.delivery.headers, ATTEMPT: str(self.delivery.attempt + retry.counted)}
        with self._releasing():
            await self.stream.retry_later(self.id, retry.seconds, await encode_entry(self.delivery.body, headers))

    async def nack(self) -> None:
        with self._releasing():
            await self.stream.nack(self.id)

    @contextmanager
    def _releasing(self) -> Generator[None]:
        """Stop keeping the entry, also when Redis is unavailable: then it becomes idle and is redelivered."""
        try:
            yield
        finally:
            self.held.discard(self.id)


class _StreamSubscription:
    """Consumes one stream. It reads only while below `prefetch`, so that it bounds the messages in flight."""

    def __init__(
        self,
        stream: RedisStream,
        queue: str,
        dispatcher: Dispatcher,
        *,
        prefetch: int,
        limits: _Limits,
        supervisor: Supervisor,
    ) -> None:
        self._stream = stream
        self._queue = queue
        self._dispatcher = dispatcher
        self._prefetch = prefetch
        self._limits = limits.for_queue(queue)
        self._supervisor = supervisor
        self._held: set[bytes] = set()
        self._kept_at = time.monotonic()
        self._last_error = ""

    async def consume(self, stop: asyncio.Event, started: asyncio.Event) -> None:
        """Consume until `stop`, through outages of Redis; then finish the messages in flight."""
        await self._stream.open()
        try:
            while not stop.is_set():
                await self._consume_until_error(stop, started)
            await self._leave()
        finally:
            await self._stream.close()

    async def _consume_until_error(self, stop: asyncio.Event, started: asyncio.Event) -> None:
        try:
            await self._stream.prepare()
            started.set()
            logger.bind(queue=self._queue).info("consuming")
            with self._supervisor.consuming(self._queue):
                while not stop.is_set():
                    await self._maintain()
                    await self._read()
                    self._last_error = ""  # the next outage is another one
        except (RedisError, OSError) as error:
            started.set()
            if str(error) != self._last_error:  # not every second of a long outage
                self._last_error = str(error)
                logger.bind(queue=self._queue).warning("cannot consume, Redis is unavailable: {}", error)
            await self._stream.renew_connections(error)
            await sleep_unless(stop, jittered(RETRY_DELAY_SECONDS))

    async def _maintain(self) -> None:
        """Deliver retries that are due, redeliver entries of idle consumers, park what exceeds the delivery limit."""
        await self._stream.move_due()
        await self._keep()
        if (free := self._dispatcher.capacity(self._prefetch)) > 0:
            limits = self._limits
            parked, entries = await self._stream.claim(free, limits.min_idle_seconds, limits.delivery_limit)
            if parked:
                logger.bind(queue=self._queue, messages=parked).error("parked messages beyond the delivery limit")
            for id, entry, lost in entries:
                self._accept(id, entry, lost)

    async def _read(self) -> None:
        """Accept new entries for `poll_seconds`, as far as `prefetch` allows."""
        until = time.monotonic() + self._limits.poll_seconds
        while (remaining := until - time.monotonic()) > 0:
            if not await self._below_prefetch(remaining):
                return
            entry = await self._stream.read(remaining)
            if entry is None:
                return
            self._accept(*entry)

    async def _below_prefetch(self, timeout_seconds: float) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._dispatcher.has_capacity(self._prefetch)
        except TimeoutError:
            return False
        return True

    def _accept(self, id: bytes, entry: Entry, lost: int = 0) -> None:
        self._held.add(id)
        delivery = decode_entry(self._queue, entry, lost)
        self._dispatcher.accept(_StreamIncomingMessage(delivery, id, self._stream, self._held))

    async def _keep(self) -> None:
        """Reset the idle time of the held entries, which other consumers may claim after `min_idle_seconds`."""
        if time.monotonic() - self._kept_at > self._limits.min_idle_seconds / 3:
            await self._stream.keep(tuple(self._held))
            self._kept_at = time.monotonic()

    async def _leave(self) -> None:
        finishing = asyncio.create_task(self._dispatcher.finish(self._limits.grace_seconds))
        try:
            while not finishing.done():
                await first_of(finishing, timeout=self._limits.min_idle_seconds / 3)
                await self._keep()
            await self._stream.nack()
        except (RedisError, OSError) as error:
            logger.bind(queue=self._queue).warning("unfinished messages will be redelivered later: {}", error)
            await finishing
        finally:
            await cancel_and_wait(finishing)
