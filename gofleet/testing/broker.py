"""An in-memory broker with the guarantees of the real ones, for tests and the simulation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count

from gofleet.adapters.dispatcher import Dispatcher
from gofleet.adapters.supervision import Supervisor
from gofleet.domain.errors import GoFleetError, MessageRefused, Unavailable
from gofleet.domain.messages import (
    ATTEMPT,
    QUEUES,
    Delivery,
    Handler,
    Message,
    Retry,
    needs_queue,
    parking_queue,
    with_crashes,
)
from gofleet.waiting import cancel_and_wait, first_of

GRACE_SECONDS = 20.0


@dataclass
class QueuedMessage:
    """A message in a queue, how often it was delivered, and as what the last time."""

    delivery: Delivery
    deliveries: int = 0
    received: Delivery | None = None


@dataclass
class MemoryQueue:
    """Messages `waiting` in order, `held` by consumers, and the timers of retries."""

    waiting: deque[QueuedMessage] = field(default_factory=deque[QueuedMessage])
    held: dict[int, QueuedMessage] = field(default_factory=dict[int, QueuedMessage])
    retries: set[asyncio.TimerHandle] = field(default_factory=set[asyncio.TimerHandle])
    consumers: set[Dispatcher] = field(default_factory=set[Dispatcher])
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: count[int] = field(default_factory=count)

    def put(self, message: QueuedMessage, *, first: bool = False) -> None:
        (self.waiting.appendleft if first else self.waiting.append)(message)
        self.arrived.set()

    def put_later(self, message: QueuedMessage, seconds: float) -> None:
        def due() -> None:
            self.retries.discard(timer)
            self.put(message)

        timer = asyncio.get_running_loop().call_later(seconds, due)
        self.retries.add(timer)


@dataclass(frozen=True)
class MemoryIncomingMessage:
    delivery: Delivery
    queue: MemoryQueue
    number: int

    async def ack(self) -> None:
        self.queue.held.pop(self.number, None)

    async def retry_later(self, retry: Retry) -> None:
        headers = {**self.delivery.headers, ATTEMPT: str(self.delivery.attempt + retry.counted)}
        if self.queue.held.pop(self.number, None):
            self.queue.put_later(QueuedMessage(replace(self.delivery, headers=headers)), retry.seconds)

    async def nack(self) -> None:
        if message := self.queue.held.pop(self.number, None):
            message.deliveries -= 1  # its consumer was not lost
            self.queue.put(message, first=True)


class MemoryBroker:
    """`Publisher` and `Consumer`, unavailable between `disconnect` and `reconnect`."""

    def __init__(self, *, delivery_limit: int = 10, grace_seconds: float = GRACE_SECONDS) -> None:
        self.supervisor = Supervisor()
        self._connected = asyncio.Event()
        self._connected.set()
        self._lost: set[Dispatcher] = set()
        self._delivery_limit = delivery_limit
        self.grace_seconds = grace_seconds
        self._queues: dict[str, MemoryQueue] = {}
        self._types: Mapping[str, tuple[str, ...]] = QUEUES

    def queue(self, name: str) -> MemoryQueue:
        return self._queues.setdefault(name, MemoryQueue())

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        """As `ports.Publisher`."""
        return [self._publish(message) for message in messages]

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        """As `ports.Publisher`."""
        return [self._put_back(delivery) for delivery in deliveries]

    async def check(self) -> None:
        """Unavailable if publishing is impossible now."""
        if not self._connected.is_set():
            raise Unavailable("the broker", "it is disconnected")

    @asynccontextmanager
    async def consuming(self, queue: str, handler: Handler, *, concurrency: int, prefetch: int) -> AsyncGenerator[None]:
        """As `ports.Consumer`."""
        dispatcher = Dispatcher(handler, concurrency)

        async def consume(stop: asyncio.Event, started: asyncio.Event) -> None:
            started.set()
            own: set[int] = set()
            self.queue(queue).consumers.add(dispatcher)
            try:
                while not stop.is_set():
                    if dispatcher in self._lost:
                        await first_of(self._connected, stop)
                        continue
                    with self.supervisor.consuming(queue):
                        await self._deliver(queue, dispatcher, own, prefetch, stop)
                await dispatcher.finish(self.grace_seconds)
            finally:
                self.queue(queue).consumers.discard(dispatcher)
                self._redeliver(queue, own)

        async with self.supervisor.running(queue, consume):
            yield

    def disconnect(self) -> None:
        """Break every connection: messages in flight are redelivered after `reconnect`."""
        self._connected.clear()
        for name, queue in self._queues.items():
            self._lost |= queue.consumers
            for dispatcher in queue.consumers:
                dispatcher.drop_waiting()
            self._redeliver(name, set(queue.held))

    def reconnect(self) -> None:
        self._lost.clear()
        self._connected.set()

    def _publish(self, message: Message) -> GoFleetError | None:
        if not self._connected.is_set():
            return Unavailable("the broker", "it is disconnected")
        queues = [queue for queue, types in self._types.items() if message.type in types]
        for name in queues:
            self.queue(name).put(QueuedMessage(Delivery(name, message.body, message.headers())))
        if not queues and needs_queue(message.type):
            return MessageRefused(f"no queue takes {message.type}")
        return None

    def _put_back(self, delivery: Delivery) -> GoFleetError | None:
        if not self._connected.is_set():
            return Unavailable("the broker", "it is disconnected")
        if delivery.queue not in self._types:
            return MessageRefused(f"{delivery.queue} is no queue of ours")
        self.queue(delivery.queue).put(QueuedMessage(delivery))
        return None

    async def _deliver(
        self, name: str, dispatcher: Dispatcher, own: set[int], prefetch: int, stop: asyncio.Event
    ) -> None:
        queue = self.queue(name)
        if not queue.waiting:
            queue.arrived.clear()
            await first_of(queue.arrived, stop)
        while queue.waiting and dispatcher.capacity(prefetch) > 0 and dispatcher not in self._lost:
            number, message = next(queue.numbers), queue.waiting.popleft()
            message.deliveries += 1
            queue.held[number] = message
            own.add(number)
            headers = with_crashes(message.delivery.headers, message.deliveries - 1)
            message.received = replace(message.delivery, headers=headers)
            dispatcher.accept(MemoryIncomingMessage(message.received, queue, number))
        if queue.waiting:
            await _wait_below_prefetch(stop, dispatcher, prefetch)
        own &= set(queue.held)

    def _redeliver(self, name: str, numbers: set[int]) -> None:
        """Requeue messages that were held and not settled; park those beyond the delivery limit."""
        queue = self.queue(name)
        queue.arrived.set()
        for number in sorted(numbers, reverse=True):
            message = queue.held.pop(number, None)
            if message is None:
                continue
            if name in self._types and message.deliveries > self._delivery_limit:
                parked = parking_queue(name)
                self.queue(parked).put(QueuedMessage(replace(message.delivery, queue=parked)))
            else:
                queue.put(message, first=True)


async def _wait_below_prefetch(stop: asyncio.Event, dispatcher: Dispatcher, prefetch: int) -> None:
    below_prefetch = asyncio.create_task(dispatcher.has_capacity(prefetch))
    try:
        await first_of(below_prefetch, stop)
    finally:
        await cancel_and_wait(below_prefetch)
