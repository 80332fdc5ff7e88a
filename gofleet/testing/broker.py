"""A broker inside the process: the promises of the others, for tests and the simulation; it forgets at exit."""

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
from gofleet.domain.messages import ATTEMPT, QUEUES, Delivery, Handler, Message, Retry, parking_queue
from gofleet.waiting import cancel_and_wait, first_of

GRACE_SECONDS = 20.0


@dataclass
class Entry:
    """A message in a queue, and how often a consumer had it."""

    delivery: Delivery
    deliveries: int = 0


@dataclass
class MemoryQueue:
    """`waiting` in their order, `held` by a consumer, and those put off until later."""

    waiting: deque[Entry] = field(default_factory=deque[Entry])
    held: dict[int, Entry] = field(default_factory=dict[int, Entry])
    later: set[asyncio.TimerHandle] = field(default_factory=set[asyncio.TimerHandle])
    consumers: set[Dispatcher] = field(default_factory=set[Dispatcher])
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: count[int] = field(default_factory=count)

    def put(self, entry: Entry, *, first: bool = False) -> None:
        (self.waiting.appendleft if first else self.waiting.append)(entry)
        self.arrived.set()

    def put_later(self, entry: Entry, seconds: float) -> None:
        def due() -> None:
            self.later.discard(timer)
            self.put(entry)

        timer = asyncio.get_running_loop().call_later(seconds, due)
        self.later.add(timer)


@dataclass(frozen=True)
class MemoryIncomingMessage:
    delivery: Delivery
    queue: MemoryQueue
    number: int

    async def ack(self) -> None:
        self.queue.held.pop(self.number, None)

    async def retry_later(self, retry: Retry) -> None:
        headers = dict(self.delivery.headers)
        if retry.counted:
            headers[ATTEMPT] = str(self.delivery.attempt + 1)
        if self.queue.held.pop(self.number, None):
            self.queue.put_later(Entry(replace(self.delivery, headers=headers)), retry.seconds)

    async def nack(self) -> None:
        if entry := self.queue.held.pop(self.number, None):
            self.queue.put(entry, first=True)


class MemoryBroker:
    """Publisher and Consumer, unreachable between `disconnect` and `reconnect`."""

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
        """Whether it could publish now: Unavailable if not."""
        if not self._connected.is_set():
            raise Unavailable("the broker", "it is away")

    @asynccontextmanager
    async def consuming(self, queue: str, handler: Handler, *, concurrency: int, prefetch: int) -> AsyncGenerator[None]:
        """As `ports.Consumer`."""
        dispatcher = Dispatcher(handler, concurrency)

        async def consume(stop: asyncio.Event, begun: asyncio.Event) -> None:
            begun.set()
            mine: set[int] = set()
            self.queue(queue).consumers.add(dispatcher)
            try:
                while not stop.is_set():
                    if dispatcher in self._lost:
                        await first_of(self._connected, stop)
                        continue
                    with self.supervisor.consuming(queue):
                        await self._hand_out(queue, dispatcher, mine, prefetch, stop)
                await dispatcher.finish(self.grace_seconds)
            finally:
                self.queue(queue).consumers.discard(dispatcher)
                self._redeliver(queue, mine)

        async with self.supervisor.running(queue, consume):
            yield

    def disconnect(self) -> None:
        """Break every connection there is: what consumers hold is delivered again, to those that come later."""
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
            return Unavailable("the broker", "it is away")
        queues = [queue for queue, types in self._types.items() if message.type in types]
        for name in queues:
            self.queue(name).put(Entry(Delivery(name, message.body, message.headers())))
        return None if queues else MessageRefused(f"no queue takes {message.type}")

    def _put_back(self, delivery: Delivery) -> GoFleetError | None:
        if not self._connected.is_set():
            return Unavailable("the broker", "it is away")
        if delivery.queue not in self._types:
            return MessageRefused(f"{delivery.queue} is no queue of ours")
        self.queue(delivery.queue).put(Entry(delivery))
        return None

    async def _hand_out(
        self, name: str, dispatcher: Dispatcher, mine: set[int], prefetch: int, stop: asyncio.Event
    ) -> None:
        queue = self.queue(name)
        if not queue.waiting:
            queue.arrived.clear()
            await first_of(queue.arrived, stop)
        while queue.waiting and len(dispatcher) < prefetch and dispatcher not in self._lost:
            number, entry = next(queue.numbers), queue.waiting.popleft()
            entry.deliveries += 1
            queue.held[number] = entry
            mine.add(number)
            dispatcher.accept(MemoryIncomingMessage(entry.delivery, queue, number))
        if queue.waiting:
            await _room_or(stop, dispatcher, prefetch)
        mine &= set(queue.held)

    def _redeliver(self, name: str, numbers: set[int]) -> None:
        """Put back what was held and not answered; what was delivered too often is parked."""
        queue = self.queue(name)
        queue.arrived.set()
        for number in sorted(numbers, reverse=True):
            entry = queue.held.pop(number, None)
            if entry is None:
                continue
            if name in self._types and entry.deliveries > self._delivery_limit:
                parked = parking_queue(name)
                self.queue(parked).put(Entry(replace(entry.delivery, queue=parked)))
            else:
                queue.put(entry, first=True)


async def _room_or(stop: asyncio.Event, dispatcher: Dispatcher, prefetch: int) -> None:
    room = asyncio.create_task(dispatcher.fewer_than(prefetch))
    try:
        await first_of(room, stop)
    finally:
        await cancel_and_wait(room)
