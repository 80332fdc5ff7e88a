"""A worker over in-memory ports: events of new orders, and the handler that dispatches them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from redis.asyncio import Redis

from gofleet.adapters.redis.leases import RedisLeases
from gofleet.domain.driver import Candidate, Driver, Position
from gofleet.domain.events import to_json
from gofleet.domain.messages import (
    ACK,
    ATTEMPT,
    DISPATCH_QUEUE,
    Delivery,
    Handler,
    Message,
    Outcome,
    Receipt,
    Retry,
)
from gofleet.domain.order import Status
from gofleet.domain.place import Place
from gofleet.guards.chain import DISPATCH_CONSUMER, ChainSettings, dispatch_chain
from gofleet.guards.manual_fallback import WaitLimits
from gofleet.guards.parking import RetryRules
from gofleet.ports import DriverSearch, Search
from gofleet.testing.broker import MemoryBroker
from gofleet.testing.orders import MemoryOrders
from gofleet.testing.outbox import MemoryInbox
from gofleet.testing.parked import MemoryParked
from gofleet.usecases.dispatch_order import DispatchOrder, SearchRadius
from tests.makers import an_order

LEASE_SECONDS = 0.3
RULES = ChainSettings(RetryRules(3, (0.02,)), WaitLimits(0.2, 30, 0.05), deadline_seconds=0.2, hold_seconds=1)

Answer = Callable[[Search], Awaitable[list[Candidate]]]


@dataclass
class ScriptedFleet:
    """Answers each search with the next entry of `script`, and then repeatedly with the last one."""

    script: Sequence[Answer]
    searches: int = 0

    async def search(self, search: Search) -> list[Candidate]:
        answer = self.script[min(self.searches, len(self.script) - 1)]
        self.searches += 1
        return await answer(search)

    async def register(self, driver: Driver) -> None: ...
    async def update_position(self, position: Position) -> bool:
        return True


async def a_driver(search: Search) -> list[Candidate]:
    """A different driver for each order."""
    return [Candidate(f"driver-of-{search.order_id}", "", Place(1, 1), 100)]


async def no_driver(search: Search) -> list[Candidate]:
    return []


async def never(search: Search) -> list[Candidate]:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@dataclass
class WorkerInMemory:
    fleet: ScriptedFleet
    guard: Callable[[DriverSearch], DriverSearch] = lambda fleet: fleet
    orders: MemoryOrders = field(default_factory=MemoryOrders)
    parked: MemoryParked = field(default_factory=MemoryParked)

    @property
    def inbox(self) -> MemoryInbox:
        return MemoryInbox(self.orders)

    async def created_event(self, order_id: str = "o-1") -> Delivery:
        """The event of a new order."""
        message = await self._accepted(order_id)
        return Delivery(DISPATCH_QUEUE, message.body, message.headers())

    async def publish_created(self, broker: MemoryBroker, *order_ids: str) -> None:
        await broker.publish([await self._accepted(order_id) for order_id in order_ids])

    async def act(self, delivery: Delivery) -> Outcome:
        """Dispatch without guards."""
        await self._dispatch_order()(delivery.event().order_id, Receipt(DISPATCH_CONSUMER, delivery.event_id))
        return ACK

    def handler(self, redis: Redis, prefix: str, rules: ChainSettings = RULES) -> Handler:
        """Dispatch behind the product's guards."""
        return dispatch_chain(
            self._dispatch_order(),
            orders=self.orders,
            inbox=self.inbox,
            leases=RedisLeases(redis, prefix=prefix, lease_ms=round(LEASE_SECONDS * 1000)),
            parked=self.parked,
            rules=rules,
            stopping=asyncio.Event(),
        )

    def status(self, order_id: str = "o-1") -> Status:
        return self.orders.rows[order_id].status

    def waiting(self) -> list[str]:
        return [order.id for order in self.orders.rows.values() if order.status is Status.PENDING]

    def _dispatch_order(self) -> DispatchOrder:
        return DispatchOrder(self.orders, self.inbox, self.guard(self.fleet), SearchRadius(5, 10, 1))

    async def _accepted(self, order_id: str) -> Message:
        order = an_order(order_id)
        (event,) = order.pending_events
        await self.orders.add(order)
        return Message(str(event.event_id), event.type, order_id, event.sequence, to_json(event))


async def handled(handler: Handler, delivery: Delivery) -> None:
    """Deliver the message until it is acknowledged, as often as the handler retries."""
    while isinstance(verdict := await handler(delivery), Retry):
        await asyncio.sleep(verdict.seconds)
        attempt = str(delivery.attempt + verdict.counted)
        delivery = replace(delivery, headers={**delivery.headers, ATTEMPT: attempt})


def at_rest(broker: MemoryBroker) -> bool:
    """Whether no message is left to be delivered."""
    queue = broker.queue(DISPATCH_QUEUE)
    return not (queue.waiting or queue.held or queue.retries)
