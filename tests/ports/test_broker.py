"""The contract of `Publisher` and `Consumer`: in memory, on Redis Streams and on RabbitMQ."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from gofleet.adapters import dispatcher
from gofleet.domain import events
from gofleet.domain.errors import MessageRefused, Unavailable
from gofleet.domain.messages import (
    ACK,
    ATTEMPT,
    CRASHES,
    DISPATCH_QUEUE,
    EVENT_ID,
    FLEET_QUEUE,
    Delivery,
    Message,
    Outcome,
    Retry,
    parking_queue,
)
from gofleet.embedded import RabbitMQ, Valkey
from tests.ports.brokers import DELIVERY_LIMIT, Broker, MemoryBench, RabbitBench, StreamsBench, a_prefix
from tests.services import a_vhost
from tests.waiting import eventually


@pytest.fixture(params=["memory", "redis", "rabbitmq"])
async def broker(request: pytest.FixtureRequest) -> AsyncGenerator[Broker]:
    match request.param:
        case "memory":
            yield MemoryBench()
        case "redis":
            valkey: Valkey = request.getfixturevalue("valkey_server")
            yield StreamsBench(valkey.address, a_prefix())
        case _:
            rabbit: RabbitMQ = request.getfixturevalue("rabbit_server")
            with a_vhost(rabbit) as address:
                yield RabbitBench(address)


class Seen:
    """A handler that records deliveries and returns what `answer` returns, by default Ack."""

    def __init__(self, answer: Callable[[Delivery], Awaitable[Outcome]] | None = None) -> None:
        self.deliveries: list[Delivery] = []
        self.at_once = self.most_at_once = 0
        self._answer = answer

    @property
    def ids(self) -> list[str]:
        return [delivery.event_id for delivery in self.deliveries]

    async def __call__(self, delivery: Delivery) -> Outcome:
        self.deliveries.append(delivery)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(delivery) if self._answer else ACK
        finally:
            self.at_once -= 1


def some(count: int, type: str = events.ORDERS_CREATED) -> list[Message]:
    return [Message(f"{type}-{n}", type, f"order-{n}", 1, b'{"n": %d}' % n) for n in range(count)]


async def published(broker: Broker, messages: Sequence[Message]) -> None:
    async with broker.publisher() as (publisher, _):
        assert await publisher.publish(messages) == [None] * len(messages)


async def drained(broker: Broker, queue: str, within: float = 10) -> list[Delivery]:
    """All messages of the queue, once no more arrive."""
    seen = Seen()
    async with (
        broker.consumer(min_idle_seconds=0.2) as (consumer, _),
        consumer.consuming(queue, seen, concurrency=10, prefetch=20),
    ):
        size, until = -1, time.monotonic() + within
        while (size != len(seen.deliveries) or not size) and time.monotonic() < until:
            size = len(seen.deliveries)
            await asyncio.sleep(0.6)  # longer than any retry of these tests
    return seen.deliveries


async def forever(_: Delivery) -> Outcome:
    await asyncio.Event().wait()
    return ACK


async def test_an_event_of_a_later_release_goes_to_no_queue_of_this_one(broker: Broker) -> None:
    """Refused, it would block all later events of its order."""
    await published(broker, [*some(1, "orders.exploded"), *some(1)])

    assert [delivery.event_id for delivery in await drained(broker, DISPATCH_QUEUE)] == ["orders.created-0"]


async def test_an_event_goes_to_every_queue_of_its_type_and_to_no_other(broker: Broker) -> None:
    created, redispatched, dispatched = (
        some(1, type)[0] for type in (events.ORDERS_CREATED, events.ORDERS_REDISPATCHED, events.ORDERS_DISPATCHED)
    )
    await published(broker, [created, redispatched, dispatched])
    dispatch, fleet = Seen(), Seen()
    async with (
        broker.consumer() as (consumer, _),
        consumer.consuming(DISPATCH_QUEUE, dispatch, concurrency=2, prefetch=4),
        consumer.consuming(FLEET_QUEUE, fleet, concurrency=2, prefetch=4),
    ):
        await eventually(lambda: len(dispatch.deliveries) >= 2 and len(fleet.deliveries) >= 2)
    assert sorted(dispatch.ids) == sorted([created.event_id, redispatched.event_id])
    assert sorted(fleet.ids) == sorted([redispatched.event_id, dispatched.event_id])
    assert await broker.size(DISPATCH_QUEUE) == await broker.size(FLEET_QUEUE) == 0


async def test_a_delivery_is_what_was_published(broker: Broker) -> None:
    message = Message("event-1", events.ORDERS_CREATED, "order-1", 3, b'{"a": 1}', "00-" + "a" * 32 + "-01")
    await published(broker, [message])
    [delivery] = await drained(broker, DISPATCH_QUEUE)
    assert delivery == Delivery(DISPATCH_QUEUE, message.body, message.headers())


async def test_refuses_only_the_event_that_no_queue_takes(broker: Broker) -> None:
    async with broker.publisher() as (publisher, _):
        answers = await publisher.publish([*some(1), *some(1, "orders.unheard-of"), *some(1, events.ORDERS_CANCELLED)])
        assert answers[0] is answers[2] is None
        assert isinstance(answers[1], MessageRefused)
        assert await publisher.publish(some(1)) == [None]


async def test_consumers_share_a_queue_without_doubles(broker: Broker) -> None:
    messages = some(300)
    async with AsyncExitStack() as stack:
        handlers = [Seen() for _ in range(3)]
        for handler in handlers:
            consumer, _ = await stack.enter_async_context(broker.consumer())
            await stack.enter_async_context(consumer.consuming(DISPATCH_QUEUE, handler, concurrency=5, prefetch=10))
        await published(broker, messages)
        await eventually(lambda: sum(len(handler.ids) for handler in handlers) >= len(messages))
    handled = Counter(id for handler in handlers for id in handler.ids)
    assert handled == Counter(message.event_id for message in messages)
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_a_backlog_is_delivered_to_the_last_message(broker: Broker) -> None:
    """A message that arrives during the subscription is delivered too."""
    await published(broker, some(200))
    seen = Seen()
    async with (
        broker.consumer() as (consumer, _),
        consumer.consuming(DISPATCH_QUEUE, seen, concurrency=10, prefetch=20),
    ):
        await eventually(lambda: len(set(seen.ids)) == 200)
    assert await broker.size(DISPATCH_QUEUE) == 0


@pytest.mark.parametrize("counted", [True, False])
async def test_a_retry_is_redelivered_when_due_and_counted_if_requested(broker: Broker, counted: bool) -> None:
    times: list[float] = []

    async def later_once(_: Delivery) -> Outcome:
        times.append(time.monotonic())
        return Retry(0.3, counted=counted) if len(times) == 1 else ACK

    seen = Seen(later_once)
    await published(broker, some(1))
    async with (
        broker.consumer() as (consumer, _),
        consumer.consuming(DISPATCH_QUEUE, seen, concurrency=2, prefetch=4),
    ):
        await eventually(lambda: len(times) == 2)
    first, second = seen.deliveries
    assert 0.29 <= times[1] - times[0] < 3
    assert second.body == first.body
    assert [first.attempt, second.attempt] == [0, 1 if counted else 0]
    assert {**second.headers, "x-attempt": ""} == {**first.headers, "x-attempt": ""}
    assert await broker.size(DISPATCH_QUEUE) == 0


@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)  # the others accept any delay
async def test_a_delay_beyond_the_longest_retry_queue_is_shortened(broker: Broker) -> None:
    async def once(delivery: Delivery) -> Outcome:
        return ACK if delivery.attempt else Retry(3600, counted=True)

    seen = Seen(once)
    await published(broker, some(1))
    async with (
        broker.consumer() as (consumer, _),
        consumer.consuming(DISPATCH_QUEUE, seen, concurrency=2, prefetch=4),
    ):
        await eventually(lambda: len(seen.ids) == 2)


async def test_a_handler_error_is_a_counted_retry(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "RETRY_AFTER_ERROR", Retry(0.3, counted=True))

    async def raise_twice(delivery: Delivery) -> Outcome:
        if delivery.attempt == 0:
            raise RuntimeError("no guard answered this")
        if delivery.attempt == 1:
            raise asyncio.CancelledError  # as a library does whose connection died
        return ACK

    seen = Seen(raise_twice)
    await published(broker, some(1))
    async with (
        broker.consumer() as (consumer, _),
        consumer.consuming(DISPATCH_QUEUE, seen, concurrency=2, prefetch=4),
    ):
        await eventually(lambda: len(seen.deliveries) == 3)
    assert [delivery.attempt for delivery in seen.deliveries] == [0, 1, 2]
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_messages_of_a_lost_consumer_are_redelivered(broker: Broker) -> None:
    await published(broker, some(5))
    vanished, heir = Seen(forever), Seen()
    async with (
        broker.consumer(grace_seconds=0.1, min_idle_seconds=0.5) as (consumer, way),
        consumer.consuming(DISPATCH_QUEUE, vanished, concurrency=2, prefetch=4),
    ):
        await eventually(lambda: len(vanished.ids) == 2)
        async with broker.consumer(min_idle_seconds=0.5) as (other, _):
            await way.cut()
            async with other.consuming(DISPATCH_QUEUE, heir, concurrency=2, prefetch=4):
                await eventually(lambda: len(set(heir.ids)) == 5)
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_messages_of_a_slow_consumer_are_not_redelivered(broker: Broker) -> None:
    await published(broker, some(1))
    gate = asyncio.Event()

    async def slowly(_: Delivery) -> Outcome:
        await gate.wait()
        return ACK

    slow, other = Seen(slowly), Seen()
    async with (
        broker.consumer(min_idle_seconds=0.3) as (first, _),
        broker.consumer(min_idle_seconds=0.3) as (second, _),
        first.consuming(DISPATCH_QUEUE, slow, concurrency=1, prefetch=1),
    ):
        await eventually(lambda: slow.ids)
        async with second.consuming(DISPATCH_QUEUE, other, concurrency=1, prefetch=1):
            await asyncio.sleep(1)  # three times what makes a silent consumer a dead one
            assert not other.ids
            gate.set()
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_stopping_finishes_running_handlers_and_nacks_the_rest(broker: Broker) -> None:
    await published(broker, some(20))
    gate = asyncio.Event()

    async def when_open(_: Delivery) -> Outcome:
        await gate.wait()
        return ACK

    left, heir = Seen(when_open), Seen()
    async with broker.consumer() as (consumer, _), broker.consumer() as (other, _):
        block = consumer.consuming(DISPATCH_QUEUE, left, concurrency=2, prefetch=10)
        await block.__aenter__()
        await eventually(lambda: len(left.ids) == 2)
        leaving = asyncio.create_task(block.__aexit__(None, None, None))
        async with other.consuming(DISPATCH_QUEUE, heir, concurrency=2, prefetch=10):
            await eventually(lambda: len(heir.ids) == 18, within=5)  # far sooner than they would be taken over
            assert not leaving.done()
            gate.set()
            await leaving
    assert len(left.ids) == 2
    assert Counter(left.ids + heir.ids) == Counter(message.event_id for message in some(20))
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_handlers_beyond_the_grace_period_are_cancelled_and_redelivered(broker: Broker) -> None:
    await published(broker, some(1))
    seen = Seen(forever)
    async with broker.consumer(grace_seconds=0.2) as (consumer, _):
        async with consumer.consuming(DISPATCH_QUEUE, seen, concurrency=2, prefetch=4):
            await eventually(lambda: seen.ids)
            started = time.monotonic()
        assert time.monotonic() - started < 3
    assert len(await drained(broker, DISPATCH_QUEUE)) == 1


async def test_at_most_concurrency_are_handled_and_at_most_prefetch_are_held(broker: Broker) -> None:
    gate = asyncio.Event()

    async def when_open(_: Delivery) -> Outcome:
        await gate.wait()
        return ACK

    greedy, modest = Seen(when_open), Seen()
    await published(broker, some(50))
    async with (
        broker.consumer() as (first, _),
        broker.consumer() as (second, _),
        first.consuming(DISPATCH_QUEUE, greedy, concurrency=2, prefetch=5),
    ):
        await eventually(lambda: len(greedy.ids) == 2)
        async with second.consuming(DISPATCH_QUEUE, modest, concurrency=2, prefetch=5):
            await eventually(lambda: len(modest.ids) >= 45)
            gate.set()
            await eventually(lambda: len(greedy.ids) + len(modest.ids) >= 50)
    assert greedy.most_at_once == 2
    assert modest.most_at_once <= 2
    assert Counter(greedy.ids + modest.ids) == Counter(message.event_id for message in some(50))


async def test_publishing_fails_fast_while_the_broker_is_unavailable_and_then_recovers(
    broker: Broker,
) -> None:
    async with broker.publisher() as (publisher, way):
        assert await publisher.publish(some(1)) == [None]
        await way.cut()
        for _ in range(3):
            started = time.monotonic()
            answers = await publisher.publish(some(3))
            assert all(isinstance(answer, Unavailable) for answer in answers)
            assert len(answers) == 3
            assert time.monotonic() - started < 3
        await way.allow()
        assert await publisher.publish(some(3)) == [None] * 3
    assert {delivery.event_id for delivery in await drained(broker, DISPATCH_QUEUE)} == {m.event_id for m in some(3)}


async def test_a_consumer_survives_an_outage_of_the_broker(broker: Broker) -> None:
    seen = Seen()
    async with (
        broker.consumer() as (consumer, way),
        consumer.consuming(DISPATCH_QUEUE, seen, concurrency=2, prefetch=4),
    ):
        for n in range(3):
            await way.cut()
            await way.allow()
            await broker.put(DISPATCH_QUEUE, b"{}", {EVENT_ID: f"event-{n}"})
            await eventually(lambda n=n: f"event-{n}" in seen.ids)
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_a_consumer_may_start_before_the_broker(broker: Broker) -> None:
    await published(broker, some(1))
    seen = Seen()
    async with broker.consumer() as (consumer, way):
        await way.cut()
        async with consumer.consuming(DISPATCH_QUEUE, seen, concurrency=2, prefetch=4):
            await way.allow()
            await eventually(lambda: seen.ids)
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_a_handler_finishes_after_its_connection_ended_and_the_bound_holds(broker: Broker) -> None:
    """The message is delivered twice, which idempotency covers, and the concurrency stays bounded."""
    gate = asyncio.Event()

    async def when_open(_: Delivery) -> Outcome:
        await gate.wait()
        return ACK

    seen = Seen(when_open)
    await published(broker, some(6))
    async with (
        broker.consumer(min_idle_seconds=0.5) as (consumer, way),
        consumer.consuming(DISPATCH_QUEUE, seen, concurrency=2, prefetch=4),
    ):
        await eventually(lambda: len(seen.ids) == 2)
        await way.cut()
        await way.allow()
        await asyncio.sleep(0.5)
        assert len(seen.ids) == 2
        gate.set()
        await eventually(lambda: len(set(seen.ids)) == 6)
    assert seen.most_at_once == 2
    assert len(seen.ids) <= 6 + 2  # those two again, but not those that had not been started
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_parks_only_the_message_that_exceeds_the_delivery_limit(
    broker: Broker,
) -> None:
    deadly, *neighbours = some(4)
    await published(broker, [deadly, *neighbours])

    async def deadly_or_not(delivery: Delivery) -> Outcome:
        return await forever(delivery) if delivery.event_id == deadly.event_id else ACK

    seen = Seen(deadly_or_not)
    for deaths in range(DELIVERY_LIMIT + 1):
        async with (
            broker.consumer(grace_seconds=0.05, min_idle_seconds=0.3) as (consumer, way),
            consumer.consuming(DISPATCH_QUEUE, seen, concurrency=1, prefetch=1),
        ):
            await eventually(lambda deaths=deaths: seen.ids.count(deadly.event_id) == deaths + 1)
            assert not await broker.size(parking_queue(DISPATCH_QUEUE))
            await way.cut()
    async with (
        broker.consumer(grace_seconds=0.05, min_idle_seconds=0.3) as (consumer, way),
        consumer.consuming(DISPATCH_QUEUE, seen, concurrency=1, prefetch=1),
    ):
        await way.allow()
        await eventually(lambda: broker.size(parking_queue(DISPATCH_QUEUE)))
        await eventually(lambda: set(seen.ids) == {message.event_id for message in [deadly, *neighbours]})
    assert seen.ids.count(deadly.event_id) == DELIVERY_LIMIT + 1
    [parked] = await drained(broker, parking_queue(DISPATCH_QUEUE))
    assert parked == Delivery(parking_queue(DISPATCH_QUEUE), deadly.body, deadly.headers())
    assert await broker.size(DISPATCH_QUEUE) == await broker.size(parking_queue(DISPATCH_QUEUE)) == 0


async def test_a_retry_copy_carries_the_number_of_lost_consumers(broker: Broker) -> None:
    [message] = some(1)
    await published(broker, [message])
    first = Seen(forever)
    async with (
        broker.consumer(grace_seconds=0.05, min_idle_seconds=0.3) as (consumer, way),
        consumer.consuming(DISPATCH_QUEUE, first, concurrency=1, prefetch=1),
    ):
        await eventually(lambda: first.ids)
        await way.cut()

    async def once_later(_: Delivery) -> Outcome:
        return ACK if len(then.ids) == 2 else Retry(0.1)

    then = Seen(once_later)
    async with broker.consumer(min_idle_seconds=0.3) as (consumer, way):
        await way.allow()
        async with consumer.consuming(DISPATCH_QUEUE, then, concurrency=1, prefetch=1):
            await eventually(lambda: len(then.ids) == 2)

    assert [delivery.crashes for delivery in (*first.deliveries, *then.deliveries)] == [0, 1, 1]
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_a_message_that_lost_two_consumers_is_handled_alone(broker: Broker) -> None:
    for number in range(12):
        crashes = {CRASHES: "2"} if number in (4, 5) else {}
        await broker.put(DISPATCH_QUEUE, b"{}", {EVENT_ID: f"event-{number}", **crashes})
    beside, handled = dict[str, int](), set[str]()
    now = 0

    async def briefly(delivery: Delivery) -> Outcome:
        nonlocal now
        now += 1
        if delivery.is_suspect:
            beside[delivery.event_id] = now
        await asyncio.sleep(0.05)
        now -= 1
        handled.add(delivery.event_id)
        return ACK

    seen = Seen(briefly)
    async with broker.consumer() as (consumer, _), consumer.consuming(DISPATCH_QUEUE, seen, concurrency=4, prefetch=8):
        await eventually(lambda: len(handled) == 12)
        for number in range(12, 30):
            await broker.put(DISPATCH_QUEUE, b"{}", {EVENT_ID: f"event-{number}"})
        await eventually(lambda: len(handled) == 30)

    assert beside == {"event-4": 1, "event-5": 1}
    assert seen.most_at_once == 4
    assert len(seen.ids) == 30
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_a_parked_message_can_be_retried_later(broker: Broker) -> None:
    queue = parking_queue(DISPATCH_QUEUE)
    await broker.put(queue, b"parked", {EVENT_ID: "event-1"})

    async def later_twice(delivery: Delivery) -> Outcome:
        return ACK if delivery.attempt == 2 else Retry(0.1, counted=True)

    seen = Seen(later_twice)
    async with broker.consumer() as (consumer, _), consumer.consuming(queue, seen, concurrency=1, prefetch=2):
        await eventually(lambda: len(seen.ids) == 3)
    assert [delivery.attempt for delivery in seen.deliveries] == [0, 1, 2]
    assert await broker.size(queue) == 0


ODD: list[tuple[bytes, dict[str, str]]] = [
    (b"", {}),
    (b"\xff\x00\xfe{", {"x-odd": "\u00e9\u20ac\U0001f600", "x-empty": "", "x-lines": "a\r\nb\x00c"}),
    (b'{"data": "x", "headers": {}}', {EVENT_ID: "not an id", "x-attempt": "many"}),
    (bytes(range(256)) * 4096, {"x-long": "l" * 30_000}),
    (b"\x89BIN\r\n\x1a\n\x00\x01", {"reply_to": "somewhere", "content-type": "text/plain"}),
]


async def test_unusual_messages_are_delivered_intact_also_after_a_retry(broker: Broker) -> None:
    for body, headers in ODD:
        await broker.put(DISPATCH_QUEUE, body, headers)
    first: list[Delivery] = []
    again: list[Delivery] = []

    async def once_more(delivery: Delivery) -> Outcome:
        (again if len(first) == len(ODD) else first).append(delivery)
        return ACK if delivery in again else Retry(0.3)

    async with (
        broker.consumer() as (consumer, _),
        consumer.consuming(DISPATCH_QUEUE, once_more, concurrency=1, prefetch=20),
    ):
        await eventually(lambda: len(again) == len(ODD))
    expected = [Delivery(DISPATCH_QUEUE, body, headers) for body, headers in ODD]
    assert first == expected
    copies = [replace(delivery, headers={**delivery.headers, ATTEMPT: "0"}) for delivery in expected]
    assert sorted(again, key=str) == sorted(copies, key=str)
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_check_reports_whether_the_queue_is_consumed(broker: Broker) -> None:
    async with broker.consumer() as (consumer, way):

        async def consumes() -> bool:
            try:
                await consumer.supervisor.check()
            except Unavailable as error:
                assert DISPATCH_QUEUE in str(error)
                return False
            return True

        async def pauses() -> bool:
            return not await consumes()

        await consumer.supervisor.check()  # consuming was not requested, so it is not missing
        async with consumer.consuming(DISPATCH_QUEUE, Seen(), concurrency=1, prefetch=1):
            await eventually(consumes)
            await way.cut()
            await eventually(pauses)
            await way.allow()
            await eventually(consumes, within=20)
        await consumer.supervisor.check()


async def test_put_back_delivers_to_the_original_queue_byte_for_byte(broker: Broker) -> None:
    """An event of two queues is put back only into the one in which it failed."""
    headers = {EVENT_ID: "event-1", "x-event-type": events.ORDERS_REDISPATCHED, "é": "ü\x00"}
    back = [
        Delivery(FLEET_QUEUE, b"\x00\xff not JSON", headers),
        Delivery(FLEET_QUEUE, b"", {EVENT_ID: "é"}),
        Delivery(FLEET_QUEUE, b"{}", {EVENT_ID: "event-1"}),  # an id may be there twice
    ]
    async with broker.publisher() as (publisher, _):
        assert await publisher.put_back(back) == [None] * len(back)
        assert await publisher.put_back([]) == []

    found = await drained(broker, FLEET_QUEUE)

    assert sorted(found, key=lambda one: one.body) == sorted(back, key=lambda one: one.body)
    assert await broker.size(DISPATCH_QUEUE) == 0


async def test_put_back_refuses_only_deliveries_of_unknown_queues(broker: Broker) -> None:
    foreign, parking = Delivery("elsewhere", b"{}"), Delivery(parking_queue(DISPATCH_QUEUE), b"{}")
    ours = [Delivery(DISPATCH_QUEUE, b"%d" % n, {EVENT_ID: str(n)}) for n in range(2)]
    async with broker.publisher() as (publisher, _):
        answers = await publisher.put_back([ours[0], foreign, parking, ours[1]])

    assert answers[0] is answers[3] is None
    assert [type(answer) for answer in answers[1:3]] == [MessageRefused, MessageRefused]
    assert sorted(one.body for one in await drained(broker, DISPATCH_QUEUE)) == [b"0", b"1"]


async def test_put_back_is_unavailable_while_the_broker_is(broker: Broker) -> None:
    async with broker.publisher() as (publisher, way):
        await way.cut()
        [answer] = await publisher.put_back([Delivery(DISPATCH_QUEUE, b"{}", {EVENT_ID: "event-1"})])
        assert isinstance(answer, Unavailable)
        await way.allow()

        async def is_back() -> bool:
            return await publisher.put_back([Delivery(DISPATCH_QUEUE, b"{}", {EVENT_ID: "event-2"})]) == [None]

        await eventually(is_back)


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True)  # in memory everything can be carried
async def test_put_back_drops_headers_that_the_broker_cannot_carry(broker: Broker) -> None:
    unsendable = {"n" * 70_000: "too long a name", "\ud800": "no text", "x": "\udfff"}
    headers = {EVENT_ID: "event-1", "CC": "['orders.created']", "BCC": "x", "x-death": "[{}]", **unsendable}
    async with broker.publisher() as (publisher, _):
        assert await publisher.put_back([Delivery(FLEET_QUEUE, b"{}", headers)]) == [None]

    [found] = await drained(broker, FLEET_QUEUE)

    assert found.headers[EVENT_ID] == "event-1"
    assert not unsendable.keys() & found.headers.keys()
    assert await broker.size(DISPATCH_QUEUE) == 0
