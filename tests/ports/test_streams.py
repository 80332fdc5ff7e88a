"""Failures that only Redis Streams can cause."""

from __future__ import annotations

import asyncio
import time

import pytest

from gofleet.adapters.redis.names import StreamNames
from gofleet.adapters.redis.stream_consumer import StreamsConsumer
from gofleet.adapters.redis.stream_publisher import StreamsPublisher
from gofleet.domain import events
from gofleet.domain.errors import Unavailable
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, Delivery, Message, Outcome, Retry
from gofleet.embedded import Valkey
from tests.ports.brokers import DELIVERY_LIMIT, StreamsBench, a_prefix
from tests.ports.proxy import a_proxy
from tests.ports.redises import SERVERS
from tests.waiting import eventually


@pytest.fixture(params=SERVERS)
def bench(request: pytest.FixtureRequest) -> StreamsBench:
    server: Valkey = request.getfixturevalue(request.param)
    return StreamsBench(server.address, a_prefix())


def a_message(n: int = 0) -> Message:
    return Message(f"event-{n}", events.ORDERS_CREATED, f"order-{n}", 1, b"{}")


class Seen:
    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    async def __call__(self, delivery: Delivery) -> Outcome:
        self.deliveries.append(delivery)
        return ACK


async def test_foreign_entries_are_delivered_unchanged(bench: StreamsBench) -> None:
    """So that they are parked instead of staying pending without end."""
    seen = Seen()
    stream = StreamNames(bench.prefix).stream(DISPATCH_QUEUE)
    async with bench.client() as redis:
        for fields in ({"__data__": b"\xff\xfe"}, {b"\xff": b"\xfe"}, {"a": "b"}, {"__data__": "[1]"}):
            await redis.xadd(stream, fields)  # pyright: ignore[reportArgumentType]  # its dict is invariant
    async with (
        bench.consumer(min_idle_seconds=0.2) as (consumer, _),
        consumer.consuming(DISPATCH_QUEUE, seen, concurrency=1, prefetch=4),
    ):
        await eventually(lambda: len(seen.deliveries) == 4)
    assert {delivery.body for delivery in seen.deliveries} >= {b"\xff\xfe", b"[1]"}
    assert all(not delivery.headers for delivery in seen.deliveries)
    assert await bench.size(DISPATCH_QUEUE) == 0


async def test_consuming_resumes_after_redis_lost_its_data(bench: StreamsBench) -> None:
    seen = Seen()
    async with (
        bench.consumer() as (consumer, _),
        bench.publisher() as (publisher, _),
        consumer.consuming(DISPATCH_QUEUE, seen, concurrency=1, prefetch=4),
        bench.client() as redis,
    ):
        assert await publisher.publish([a_message(1)]) == [None]
        await eventually(lambda: len(seen.deliveries) == 1)
        await redis.execute_command("FLUSHALL")  # pyright: ignore[reportUnknownMemberType]
        assert await publisher.publish([a_message(2)]) == [None]
        await eventually(lambda: len(seen.deliveries) == 2)
    assert await bench.size(DISPATCH_QUEUE) == 0


async def test_a_consumer_leaves_its_group(bench: StreamsBench) -> None:
    async with (
        bench.consumer() as (consumer, _),
        consumer.consuming(DISPATCH_QUEUE, Seen(), concurrency=1, prefetch=4),
        bench.publisher() as (publisher, _),
    ):
        await publisher.publish([a_message()])
        await eventually(lambda: bench_is_empty(bench))
    async with bench.client() as redis:
        stream = StreamNames(bench.prefix).stream(DISPATCH_QUEUE)
        assert await redis.xinfo_consumers(stream, "gofleet") == []


async def bench_is_empty(bench: StreamsBench) -> bool:
    return await bench.size(DISPATCH_QUEUE) == 0


async def test_a_nack_does_not_count_towards_the_delivery_limit(bench: StreamsBench) -> None:
    """Each restart of a worker nacks messages, which must not park them."""

    started: list[str] = []

    async def forever(delivery: Delivery) -> Outcome:
        started.append(delivery.event_id)
        await asyncio.Event().wait()
        return ACK

    async with bench.publisher() as (publisher, _):
        assert await publisher.publish([a_message(1), a_message(2)]) == [None, None]
    for release in range(DELIVERY_LIMIT + 3):
        async with (
            bench.consumer(grace_seconds=0.01) as (consumer, _),
            consumer.consuming(DISPATCH_QUEUE, forever, concurrency=1, prefetch=2),
        ):
            await eventually(lambda release=release: len(started) > release)
    seen = Seen()
    async with bench.consumer() as (consumer, _), consumer.consuming(DISPATCH_QUEUE, seen, concurrency=1, prefetch=2):
        await eventually(lambda: len(seen.deliveries) == 2)


async def test_the_same_message_may_have_two_retries(bench: StreamsBench) -> None:
    first: list[str] = []
    again: list[str] = []

    async def later_once(delivery: Delivery) -> Outcome:
        if len(first) < 2:
            first.append(delivery.event_id)
            return Retry(0.3)
        again.append(delivery.event_id)
        return ACK

    async with (
        bench.publisher() as (publisher, _),
        bench.consumer() as (consumer, _),
        consumer.consuming(DISPATCH_QUEUE, later_once, concurrency=1, prefetch=1),
    ):
        assert await publisher.publish([a_message(), a_message()]) == [None, None]
        await eventually(lambda: len(again) == 2)
    assert await bench.size(DISPATCH_QUEUE) == 0


async def test_a_silent_redis_is_unavailable_in_time(bench: StreamsBench) -> None:
    async with (
        a_proxy(bench.address.port) as proxy,
        StreamsPublisher(bench.url(proxy.port), prefix=bench.prefix, timeout_seconds=0.3) as publisher,
    ):
        assert await publisher.publish([a_message()]) == [None]
        proxy.silence()
        started = time.monotonic()
        [answer] = await publisher.publish([a_message()])
        assert isinstance(answer, Unavailable)
        assert time.monotonic() - started < 3
        with pytest.raises(Unavailable):
            await publisher.check()
        await proxy.drop()
        await proxy.allow()
        assert await publisher.publish([a_message()]) == [None]


async def test_a_server_that_is_not_redis_is_logged_and_retried(bench: StreamsBench) -> None:
    """A key of a wrong type, as from another program, is an outage with a reason and does not end the consumer."""
    seen = Seen()
    stream = StreamNames(bench.prefix).stream(DISPATCH_QUEUE)
    async with bench.client() as redis, bench.consumer() as (consumer, _):
        await redis.set(stream, "not a stream")
        assert isinstance(consumer, StreamsConsumer)
        async with bench.publisher() as (publisher, _):
            [answer] = await publisher.publish([a_message()])
            assert isinstance(answer, Unavailable)
            assert "WRONGTYPE" in str(answer)
            async with consumer.consuming(DISPATCH_QUEUE, seen, concurrency=1, prefetch=1):
                await redis.delete(stream)
                assert await publisher.publish([a_message()]) == [None]
                await eventually(lambda: seen.deliveries)
                await asyncio.sleep(0)
