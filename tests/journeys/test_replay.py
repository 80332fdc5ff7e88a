"""A replay takes effect once, whichever process is killed: the chain of message handling on PostgreSQL's tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import pytest

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresInbox
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.domain.driver import Candidate, Driver, Position
from gofleet.domain.errors import GoFleetError, Unavailable
from gofleet.domain.events import to_json
from gofleet.domain.messages import (
    ACK,
    AGGREGATE_ID,
    ATTEMPT,
    DISPATCH_QUEUE,
    EVENT_ID,
    Delivery,
    Handler,
    Message,
    Outcome,
    parking_queue,
)
from gofleet.domain.order import Order, Status
from gofleet.domain.parked import Cause, HandlingFailure, Stage
from gofleet.domain.principal import CLIENT
from gofleet.guards.chain import ChainSettings, dispatch_chain, drain_chain
from gofleet.guards.manual_fallback import WaitLimits
from gofleet.guards.parking import RetryRules
from gofleet.ports import ParkedFilter, Publisher, Search
from gofleet.testing.broker import MemoryBroker, QueuedMessage
from gofleet.testing.leases import MemoryLeases
from gofleet.usecases.dispatch_order import DispatchOrder, SearchRadius
from gofleet.usecases.relay import ReplayParked
from gofleet.usecases.transitions import Transition
from tests.databases import register
from tests.makers import CENTRE, an_order, dispatch_to, escalate
from tests.waiting import eventually

EVERYTHING = ParkedFilter()
RULES = ChainSettings(
    RetryRules(max_attempts=1), WaitLimits(patience_seconds=60, t_max_seconds=120, retry_seconds=0.05)
)


@dataclass
class Drivers:
    """A fleet that always finds a driver, unless it fails with `failure`."""

    failure: Exception | None = None
    searches: int = 0

    async def search(self, search: Search) -> list[Candidate]:
        self.searches += 1
        if self.failure:
            raise self.failure
        free = (f"driver-{n}" for n in range(100))
        return [Candidate(id, id, CENTRE, 1) for id in free if id not in search.exclude][:5]

    async def register(self, driver: Driver) -> None:
        raise AssertionError

    async def update_position(self, position: Position) -> bool:
        raise AssertionError


@dataclass
class Dying:
    """A broker whose client fails right after the broker confirmed the messages."""

    publisher: Publisher

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        raise AssertionError

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        await self.publisher.put_back(deliveries)
        raise ConnectionResetError("killed")


@dataclass
class Works:
    """The parts between parked messages and orders; `handled` are the worker's deliveries."""

    pool: Pool
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    drivers: Drivers = field(default_factory=Drivers)
    leases: MemoryLeases = field(default_factory=MemoryLeases)
    handled: list[Delivery] = field(default_factory=list[Delivery])

    def __post_init__(self) -> None:
        self.orders, self.inbox = PostgresOrders(self.pool), PostgresInbox(self.pool)
        self.parked = PostgresParked(self.pool)

    @property
    def replay(self) -> ReplayParked:
        return ReplayParked(self.parked, self.broker, 100)

    def worker(self) -> Handler:
        handler = dispatch_chain(
            DispatchOrder(self.orders, self.inbox, self.drivers, SearchRadius(5, 10, 4), CENTRE),
            orders=self.orders,
            inbox=self.inbox,
            leases=self.leases,
            parked=self.parked,
            rules=RULES,
            stopping=asyncio.Event(),
        )

        async def noted(delivery: Delivery) -> Outcome:
            verdict = await handler(delivery)
            if verdict == ACK:
                self.handled.append(delivery)
            return verdict

        return noted

    async def deliver(self, count: int) -> None:
        """Let a worker handle its queue, which must have `count` deliveries."""
        self.handled.clear()
        async with self.broker.consuming(DISPATCH_QUEUE, self.worker(), concurrency=4, prefetch=8):
            queue = self.broker.queue(DISPATCH_QUEUE)
            await eventually(lambda: not queue.waiting and not queue.held and not queue.retries)
        assert len(self.handled) == count

    async def park(self, order: Order) -> Delivery:
        """Park the event of a new order."""
        delivery = created(order)
        await self.parked.add(delivery, HandlingFailure.of(RuntimeError("bug")))
        return delivery

    async def moves(self, order_id: str) -> list[str]:
        async with self.pool.connection() as connection:
            found = await connection.execute(
                "select became from order_log where order_id = %s order by id", (order_id,)
            )
            return [row[0] for row in await found.fetchall()]

    async def everything(self) -> list[object]:
        """All rows that a replay could change: orders, history and outbox."""
        async with self.pool.connection() as connection:
            rows: list[object] = []
            for query in (
                "select * from orders order by id",
                "select * from order_log order by id",
                "select * from outbox order by id",
            ):
                rows += await (await connection.execute(query.encode())).fetchall()
            return rows


def created(order: Order, queue: str = DISPATCH_QUEUE) -> Delivery:
    [event] = order.pending_events
    return Delivery(queue, to_json(event), {EVENT_ID: str(event.event_id), AGGREGATE_ID: order.id, ATTEMPT: "5"})


@pytest.fixture
async def works(clean_database: str) -> AsyncGenerator[Works]:
    async with create_pool(clean_database, size=8, wait_seconds=5) as pool:
        await register(pool, "ana", "bia", *(f"driver-{number}" for number in range(100)))
        yield Works(pool)


async def test_a_relay_killed_after_publishing_publishes_again_and_the_order_is_dispatched_once(works: Works) -> None:
    order = an_order("o-1")
    delivery = await works.park(order)
    await works.orders.add(order)
    await works.parked.request_all(EVERYTHING, 1)

    with pytest.raises(ConnectionResetError):
        await ReplayParked(works.parked, Dying(works.broker), 100)()
    [message] = await works.parked.list(EVERYTHING, 10)
    assert (message.stage, message.replay_count) == (Stage.REQUESTED, 0)
    assert await works.replay() == 1

    await works.deliver(2)
    assert {one.event_id for one in works.handled} == {delivery.event_id}
    assert await works.moves("o-1") == ["PENDING", "DISPATCHED"]
    assert works.drivers.searches == 1
    [message] = await works.parked.list(ParkedFilter(stage=Stage.REPLAYED), 10)
    assert message.replay_count == 1
    assert await works.replay() == 0


@pytest.mark.parametrize("redis_forgot", [False, True])
async def test_a_replay_for_a_finished_order_changes_nothing(works: Works, redis_forgot: bool) -> None:
    ends: dict[str, list[Transition]] = {
        "dispatched": [dispatch_to("ana")],
        "delivered": [dispatch_to("bia"), Order.deliver],
        "cancelled": [Order.cancel],
        "by-hand": [escalate],
    }
    for order_id, verbs in ends.items():
        order = an_order(order_id)
        await works.park(order)
        await works.orders.add(order)
        for verb in verbs:
            order = await works.orders.get(order_id)
            verb(order, by=CLIENT)
            await works.orders.save(order)
    before = await works.everything()

    for _ in range(2):
        await works.parked.request_all(EVERYTHING, len(ends))
        assert await works.replay() == len(ends)
        await works.deliver(len(ends))
        if redis_forgot:
            works.leases = MemoryLeases()
        for order_id in ends:  # a second time
            await works.park(an_order(order_id))

    assert await works.everything() == before
    assert works.drivers.searches == 0


async def test_a_replay_after_its_cause_was_removed_has_the_messages_effect(works: Works) -> None:
    order = an_order("o-1")
    await works.broker.put_back([created(order)])
    await works.deliver(1)
    [message] = await works.parked.list(EVERYTHING, 10)
    assert message.cause is Cause.NO_SUCH_ORDER

    await works.orders.add(order)  # such as from a backup
    first, again = [await works.parked.request(message.id) for _ in range(2)]
    assert first == again
    assert await works.replay() == 1
    await works.deliver(1)
    await works.parked.request(message.id)
    assert await works.replay() == 0

    assert await works.moves("o-1") == ["PENDING", "DISPATCHED"]
    assert works.handled[0].headers[ATTEMPT] == "0"
    assert await works.parked.count() == 0


async def test_a_replay_that_fails_again_is_parked_again_and_both_are_visible(works: Works) -> None:
    await works.broker.put_back([created(an_order("o-1"))])
    await works.deliver(1)
    [first] = await works.parked.list(EVERYTHING, 10)

    await works.parked.request(first.id)
    assert await works.replay() == 1
    await works.deliver(1)

    [second] = await works.parked.list(EVERYTHING, 10)
    [old] = await works.parked.list(ParkedFilter(stage=Stage.REPLAYED), 10)
    assert (old.id, old.replay_count) == (first.id, 1)
    assert second.id > first.id
    assert (second.cause, second.fingerprint, second.event_id) == (first.cause, first.fingerprint, first.event_id)


@pytest.mark.parametrize("headers", [{}, {EVENT_ID: "a\0b"}, {EVENT_ID: "\ud800"}, {"x\0": "y"}])
async def test_a_malformed_message_is_replayed_unchanged(works: Works, headers: dict[str, str]) -> None:
    junk = Delivery(DISPATCH_QUEUE, b"\x00\xff{", headers)
    await works.broker.put_back([junk])
    await works.deliver(1)
    [message] = await works.parked.list(EVERYTHING, 10)
    assert message.cause is Cause.MALFORMED

    await works.parked.request(message.id)
    await works.replay()
    await works.deliver(1)

    assert works.handled[0].body == junk.body
    [again] = await works.parked.list(EVERYTHING, 10)
    assert (again.fingerprint, again.body_bytes) == (message.fingerprint, len(junk.body))


async def test_an_order_whose_message_killed_its_workers_is_dispatched_by_a_replay(works: Works) -> None:
    order, parking = an_order("o-1"), parking_queue(DISPATCH_QUEUE)
    works.broker.queue(parking).put(QueuedMessage(created(order, parking)))
    await works.orders.add(order)
    async with works.broker.consuming(
        parking, drain_chain(works.parked, rules=RULES, stopping=asyncio.Event()), concurrency=1, prefetch=1
    ):
        await eventually(works.parked.count)

    [message] = await works.parked.list(EVERYTHING, 10)
    assert (message.queue, message.cause) == (DISPATCH_QUEUE, Cause.CRASH_LOOP)
    await works.parked.request(message.id)
    await works.replay()
    await works.deliver(1)

    assert (await works.orders.get("o-1")).status is Status.DISPATCHED


async def test_an_escalated_order_stays_with_manual_dispatch(works: Works) -> None:
    """Too many attempts escalate the order and park the message; a replay does not dispatch the order."""
    order = an_order("o-1")
    await works.broker.put_back([created(order)])
    await works.orders.add(order)
    works.drivers.failure = RuntimeError("bug")
    await works.deliver(1)
    assert (await works.orders.get("o-1")).status is Status.MANUAL_DISPATCH
    [message] = await works.parked.list(EVERYTHING, 10)

    works.drivers.failure = None
    await works.parked.request(message.id)
    await works.replay()
    await works.deliver(1)

    assert await works.moves("o-1") == ["PENDING", "MANUAL_DISPATCH"]
    assert await works.parked.count() == 0


async def test_requests_wait_while_the_broker_is_unavailable(works: Works) -> None:
    await works.park(an_order("o-1"))
    await works.parked.request_all(EVERYTHING, 1)

    works.broker.disconnect()
    with pytest.raises(Unavailable):
        await works.replay()
    works.broker.reconnect()

    assert await works.replay() == 1
