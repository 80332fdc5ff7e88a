"""A faulty broker in memory: duplicates, other orders, lost confirmations, lost messages, broken connections."""

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
class BrokerFaults:
    """Probabilities of a fault, per message."""

    request_lost: float = 0.1  # the broker does not receive it; the publisher gets Unavailable
    confirmation_lost: float = 0.1  # the broker has it; the publisher gets Unavailable
    repeated: float = 0.3
    lost: float = 0.0  # confirmed and then lost, as with a broken disk
    delay_seconds: float = 0.01


@dataclass(eq=False)
class FaultyBroker(MemoryBroker):
    """`arrived` has every event that the broker received, in the order of their first arrival."""

    random: Random
    faults: BrokerFaults = field(default_factory=BrokerFaults)
    arrived: dict[str, Message] = field(default_factory=dict[str, Message])

    def __post_init__(self) -> None:
        super().__init__(
            delivery_limit=10**6
        )  # its connections break all the time, which is not the fault of a message

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        """Each message of a batch has its own delay."""
        return list(await asyncio.gather(*(self._receive(message) for message in messages)))

    def lose_connection(self, delivery: Delivery) -> None:
        """The consumer's connection breaks: an unacknowledged delivery is requeued."""
        queue = self.queue(delivery.queue)
        for number, entry in list(queue.held.items()):
            if entry.received is delivery:
                del queue.held[number]
                queue.put(entry, first=self.random.random() < 0.5)

    def at_rest(self) -> bool:
        """Whether no message is waiting, in flight or delayed."""
        queue = self.queue(DISPATCH_QUEUE)
        return not (queue.waiting or queue.held or queue.retries)

    async def _receive(self, message: Message) -> GoFleetError | None:
        await asyncio.sleep(self.random.random() * self.faults.delay_seconds)
        if self._strikes(self.faults.request_lost):
            return Unavailable("the broker", "the request was lost")
        self.arrived.setdefault(message.event_id, message)
        if not self._strikes(self.faults.lost):
            self._enqueue(message)
        if self._strikes(self.faults.confirmation_lost):
            return Unavailable("the broker", "the confirmation was lost")
        return None

    def _enqueue(self, message: Message) -> None:
        if message.type not in self._types[DISPATCH_QUEUE]:
            return  # no queue of this storm is bound to it
        copies = 1 + self._strikes(self.faults.repeated) * self.random.randint(1, 2)
        for _ in range(copies):
            entry = QueuedMessage(Delivery(DISPATCH_QUEUE, message.body, message.headers()))
            self.queue(DISPATCH_QUEUE).put_later(entry, self.random.random() * self.faults.delay_seconds)

    def _strikes(self, probability: float) -> bool:
        return self.random.random() < probability


def published_out_of_order(arrived: Sequence[Message]) -> list[str]:
    """Ids of orders with an event that arrived before an earlier one, or with a gap."""
    last: dict[str, int] = {}
    unordered: list[str] = []
    for message in arrived:
        if message.type == events.ORDERS_DISPATCH_REQUESTED:
            continue  # a command repeats the sequence of an event
        if message.sequence != last.get(message.order_id, 0) + 1:
            unordered.append(message.order_id)
        last[message.order_id] = message.sequence
    return unordered
