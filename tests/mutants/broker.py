"""A broker on a bad day: it repeats, reorders, does not answer, loses if told to, and breaks its connections."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from gofleet.domain import events
from gofleet.domain.errors import GoFleetError, Unavailable
from gofleet.domain.messages import DISPATCH_QUEUE, Delivery, Message
from gofleet.testing.broker import MemoryBroker, QueuedMessage


@dataclass
class BadDay:
    """Probabilities, for each message."""

    unheard: float = 0.1  # it never reached the broker, and the publisher is told that nobody knows
    unconfirmed: float = 0.1  # the broker has it, and the publisher is told that nobody knows
    repeated: float = 0.3
    lost: float = 0.0  # confirmed and then gone, as with a broken disk
    delay_seconds: float = 0.01


@dataclass(eq=False)
class BadBroker(MemoryBroker):
    """`arrived` are the events it ever had, in that order, the first time of each."""

    random: Random
    day: BadDay = field(default_factory=BadDay)
    arrived: dict[str, Message] = field(default_factory=dict[str, Message])

    def __post_init__(self) -> None:
        super().__init__(delivery_limit=10**6)  # its connections break without end, which says nothing of a message

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        """Each message of a batch takes as long as it takes."""
        return list(await asyncio.gather(*(self._receive(message) for message in messages)))

    def lose_connection(self, delivery: Delivery) -> None:
        """Who has this in hand is gone: unless it was answered, it comes again."""
        queue = self.queue(delivery.queue)
        for number, entry in list(queue.held.items()):
            if entry.delivery is delivery:
                del queue.held[number]
                queue.put(entry, first=self.random.random() < 0.5)

    def at_rest(self) -> bool:
        """Whether nothing will ever be delivered any more."""
        queue = self.queue(DISPATCH_QUEUE)
        return not (queue.waiting or queue.held or queue.retries)

    async def _receive(self, message: Message) -> GoFleetError | None:
        await asyncio.sleep(self.random.random() * self.day.delay_seconds)
        if self._happens(self.day.unheard):
            return Unavailable("the broker", "the request was lost")
        self.arrived.setdefault(message.event_id, message)
        if not self._happens(self.day.lost):
            self._enqueue(message)
        if self._happens(self.day.unconfirmed):
            return Unavailable("the broker", "the confirmation was lost")
        return None

    def _enqueue(self, message: Message) -> None:
        if message.type not in self._types[DISPATCH_QUEUE]:
            return  # nobody in this storm listens to it
        copies = 1 + self._happens(self.day.repeated) * self.random.randint(1, 2)
        for _ in range(copies):
            entry = QueuedMessage(Delivery(DISPATCH_QUEUE, message.body, message.headers()))
            self.queue(DISPATCH_QUEUE).put_later(entry, self.random.random() * self.day.delay_seconds)

    def _happens(self, probability: float) -> bool:
        return self.random.random() < probability


def published_out_of_order(arrived: Sequence[Message]) -> list[str]:
    """Orders of which an event arrived before one that happened earlier, or of which one is missing in between."""
    last: dict[str, int] = {}
    wrong: list[str] = []
    for message in arrived:
        if message.type == events.ORDERS_DISPATCH_REQUESTED:
            continue  # a command says again what was said before
        if message.sequence != last.get(message.order_id, 0) + 1:
            wrong.append(message.order_id)
        last[message.order_id] = message.sequence
    return wrong
