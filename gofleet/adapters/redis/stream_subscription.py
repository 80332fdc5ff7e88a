"""The consuming of one stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from loguru import logger
from redis.exceptions import RedisError

from gofleet.adapters.dispatcher import Dispatcher
from gofleet.adapters.redis.stream import Entry, RedisStream
from gofleet.adapters.redis.stream_wire import decode_entry, encode_entry
from gofleet.adapters.supervision import Supervisor, jittered
from gofleet.domain.messages import ATTEMPT, QUEUES, Delivery, Retry
from gofleet.waiting import cancel_and_wait, first_of, sleep_unless

AGAIN_SECONDS = 1.0
UNLIMITED = -1


@dataclass(frozen=True)
class StreamLimits:
    """As `StreamsConsumer` says; `poll_seconds` is how late a retry or a take-over may be."""

    min_idle_seconds: float
    delivery_limit: int
    poll_seconds: float
    grace_seconds: float

    def for_queue(self, queue: str) -> StreamLimits:
        """What is parked already is not parked again."""
        return self if queue in QUEUES else replace(self, delivery_limit=UNLIMITED)


@dataclass(frozen=True)
class StreamIncomingMessage:
    """One entry that is pending for us."""

    delivery: Delivery
    id: bytes
    stream: RedisStream
    held: set[bytes]

    async def ack(self) -> None:
        with self._letting_go():
            await self.stream.ack(self.id)

    async def retry_later(self, retry: Retry) -> None:
        headers = dict(self.delivery.headers)
        if retry.counted:
            headers[ATTEMPT] = str(self.delivery.attempt + 1)
        with self._letting_go():
            await self.stream.retry_later(self.id, retry.seconds, await encode_entry(self.delivery.body, headers))

    async def nack(self) -> None:
        with self._letting_go():
            await self.stream.nack(self.id)

    @contextmanager
    def _letting_go(self) -> Generator[None]:
        """Also when Redis cannot be told: then the silence tells, and the message comes again."""
        try:
            yield
        finally:
            self.held.discard(self.id)


class StreamSubscription:
    """Reads only while there is room, so that `prefetch` bounds what is really held."""

    def __init__(
        self,
        stream: RedisStream,
        queue: str,
        dispatcher: Dispatcher,
        *,
        prefetch: int,
        bounds: StreamLimits,
        supervisor: Supervisor,
    ) -> None:
        self._stream = stream
        self._queue = queue
        self._dispatcher = dispatcher
        self._prefetch = prefetch
        self._bounds = bounds.for_queue(queue)
        self._supervisor = supervisor
        self._held: set[bytes] = set()
        self._kept_at = time.monotonic()
        self._said = ""

    async def consume(self, stop: asyncio.Event, begun: asyncio.Event) -> None:
        """Consume until `stop`, through outages of Redis; then finish what is in hand."""
        await self._stream.open()
        try:
            while not stop.is_set():
                await self._consume_until_it_fails(stop, begun)
            await self._leave()
        finally:
            await self._stream.close()

    async def _consume_until_it_fails(self, stop: asyncio.Event, begun: asyncio.Event) -> None:
        try:
            await self._stream.prepare()
            begun.set()
            logger.bind(queue=self._queue).info("consuming")
            with self._supervisor.consuming(self._queue):
                while not stop.is_set():
                    await self._tend()
                    await self._read()
        except (RedisError, OSError) as error:
            begun.set()
            if str(error) != self._said:  # not every second of a long outage
                self._said = str(error)
                logger.bind(queue=self._queue).warning("consuming has to wait, Redis is unavailable: {}", error)
            await sleep_unless(stop, jittered(AGAIN_SECONDS))

    async def _tend(self) -> None:
        """What RabbitMQ does by itself: retries, redelivery of what the dead had, and crash loops."""
        await self._stream.move_due()
        await self._keep()
        if (room := self._prefetch - len(self._dispatcher)) > 0:
            bounds = self._bounds
            parked, entries = await self._stream.claim(room, bounds.min_idle_seconds, bounds.delivery_limit)
            if parked:
                logger.bind(queue=self._queue, messages=parked).error("parked what was delivered too often")
            for id, entry in entries:
                self._accept(id, entry)

    async def _read(self) -> None:
        """Take new messages for one poll, as far as there is room."""
        until = time.monotonic() + self._bounds.poll_seconds
        while (left := until - time.monotonic()) > 0:
            if not await self._has_room(left):
                return
            found = await self._stream.read(left)
            if found is None:
                return
            self._accept(*found)

    async def _has_room(self, within_seconds: float) -> bool:
        try:
            async with asyncio.timeout(within_seconds):
                await self._dispatcher.fewer_than(self._prefetch)
        except TimeoutError:
            return False
        return True

    def _accept(self, id: bytes, entry: Entry) -> None:
        self._held.add(id)
        self._dispatcher.accept(StreamIncomingMessage(decode_entry(self._queue, entry), id, self._stream, self._held))

    async def _keep(self) -> None:
        """Keep others from taking over what we hold: they may after `min_idle_seconds` of silence."""
        if time.monotonic() - self._kept_at > self._bounds.min_idle_seconds / 3:
            await self._stream.keep(tuple(self._held))
            self._kept_at = time.monotonic()

    async def _leave(self) -> None:
        finishing = asyncio.create_task(self._dispatcher.finish(self._bounds.grace_seconds))
        try:
            while not finishing.done():
                await first_of(finishing, timeout=self._bounds.min_idle_seconds / 3)
                await self._keep()
            await self._stream.nack()
        except (RedisError, OSError) as error:
            logger.bind(queue=self._queue).warning("what was left unfinished comes again later: {}", error)
            await finishing
        finally:
            await cancel_and_wait(finishing)
