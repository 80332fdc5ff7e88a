"""Failures that only RabbitMQ can cause."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Generator
from dataclasses import replace

import aio_pika
import httpx
import pytest

from gofleet.adapters.rabbit.consumer import RabbitConsumer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import Topology, TopologyMismatch
from gofleet.domain import events
from gofleet.domain.errors import MessageRefused, Unavailable
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, Delivery, Message, Outcome, Retry
from gofleet.embedded import RabbitAddress, RabbitMQ
from tests.ports.brokers import PREFIX, RabbitBench
from tests.ports.proxy import a_proxy
from tests.services import a_vhost
from tests.waiting import eventually


@pytest.fixture
def vhost(rabbit_server: RabbitMQ) -> Generator[RabbitAddress]:
    with a_vhost(rabbit_server) as address:
        yield address


@pytest.fixture
def bench(vhost: RabbitAddress) -> RabbitBench:
    return RabbitBench(vhost)


def a_message(n: int = 0) -> Message:
    return Message(f"event-{n}", events.ORDERS_CREATED, f"order-{n}", 1, b"{}")


async def delete(address: RabbitAddress, *queues: str) -> None:
    async with await aio_pika.connect(address.url) as connection, connection.channel() as channel:
        for queue in queues:
            await channel.queue_delete(PREFIX + queue)


class Seen:
    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    async def __call__(self, delivery: Delivery) -> Outcome:
        self.deliveries.append(delivery)
        return ACK


async def test_a_queue_with_other_properties_raises_topology_mismatch(bench: RabbitBench) -> None:
    async with RabbitPublisher(bench.server(), bench.topology):
        pass
    other = replace(bench.topology, delivery_limit=7)
    with pytest.raises(TopologyMismatch, match=r"x-delivery-limit.*test-orders\.created.*delete it"):
        async with RabbitPublisher(bench.server(), other):
            pass
    consumer = RabbitConsumer(bench.server(), other)
    with pytest.raises(TopologyMismatch):
        async with consumer.consuming(DISPATCH_QUEUE, Seen(), concurrency=1, prefetch=1):
            pass


async def test_the_supervisor_raises_when_consuming_ends_for_good(bench: RabbitBench, vhost: RabbitAddress) -> None:
    consumer = RabbitConsumer(bench.server(), bench.topology, reconnect_seconds=0.05)
    stop = asyncio.Event()
    watching = asyncio.create_task(consumer.supervisor(stop))
    with pytest.raises(TopologyMismatch):
        async with consumer.consuming(DISPATCH_QUEUE, Seen(), concurrency=1, prefetch=1):
            async with await aio_pika.connect(vhost.url) as connection, connection.channel() as channel:
                await channel.queue_delete(f"{PREFIX}orders.created.retry.1s")
                await channel.declare_queue(f"{PREFIX}orders.created.retry.1s", durable=True)
                await channel.queue_delete(PREFIX + DISPATCH_QUEUE)  # it reconnects, and finds what it finds
            with pytest.raises(TopologyMismatch):
                await asyncio.wait_for(watching, 5)


async def test_the_supervisor_returns_on_stop(bench: RabbitBench) -> None:
    consumer = RabbitConsumer(bench.server(), bench.topology)
    stop = asyncio.Event()
    watching = asyncio.create_task(consumer.supervisor(stop))
    async with consumer.consuming(DISPATCH_QUEUE, Seen(), concurrency=1, prefetch=1):
        assert not watching.done()
    stop.set()
    await asyncio.wait_for(watching, 1)


async def test_consuming_resumes_after_its_queue_was_deleted(bench: RabbitBench, vhost: RabbitAddress) -> None:
    seen = Seen()
    consumer = RabbitConsumer(bench.server(), bench.topology, reconnect_seconds=0.05)
    async with (
        consumer.consuming(DISPATCH_QUEUE, seen, concurrency=1, prefetch=1),
        RabbitPublisher(bench.server(), bench.topology) as publisher,
    ):
        await delete(vhost, DISPATCH_QUEUE)

        async def published() -> bool:
            return await publisher.publish([a_message()]) == [None]

        await eventually(published)
        await eventually(lambda: seen.deliveries)


async def test_a_publisher_redeclares_a_deleted_queue(bench: RabbitBench, vhost: RabbitAddress) -> None:
    async with RabbitPublisher(bench.server(), bench.topology) as publisher:
        assert await publisher.publish([a_message()]) == [None]
        await delete(vhost, DISPATCH_QUEUE)
        [refused] = await publisher.publish([a_message()])
        assert isinstance(refused, MessageRefused)
        assert await publisher.publish([a_message()]) == [None]
    assert await bench.size(DISPATCH_QUEUE) == 1


async def test_a_busy_publisher_does_not_redeclare_a_queue_before_its_consumers_know(
    bench: RabbitBench, vhost: RabbitAddress
) -> None:
    """RabbitMQ never tells them of a deletion if a new queue of that name is there within some 50 ms."""
    consumer = RabbitConsumer(bench.server(), bench.topology)
    seen, publisher = Seen(), RabbitPublisher(bench.server(), bench.topology)
    async with publisher, consumer.consuming(DISPATCH_QUEUE, seen, concurrency=1, prefetch=10):
        await delete(vhost, DISPATCH_QUEUE)
        published = 0

        async def arrives() -> bool:
            nonlocal published
            published += 1
            await publisher.publish([a_message(published)])
            return bool(seen.deliveries)

        await eventually(arrives, within=15, every=0.001)


async def test_a_retry_stays_in_flight_while_its_queue_is_missing(bench: RabbitBench, vhost: RabbitAddress) -> None:
    gate = asyncio.Event()
    tries: list[tuple[str, int]] = []

    async def later_once(delivery: Delivery) -> Outcome:
        tries.append((delivery.event_id, delivery.attempt))
        if delivery.event_id == "event-1":
            await gate.wait()
        return ACK if delivery.attempt else Retry(0.1, counted=True)

    consumer = RabbitConsumer(bench.server(), bench.topology)
    async with (
        consumer.consuming(DISPATCH_QUEUE, later_once, concurrency=1, prefetch=1),
        RabbitPublisher(bench.server(), bench.topology) as publisher,
    ):
        assert await publisher.publish([a_message(0)]) == [None]
        await eventually(lambda: ("event-0", 1) in tries)  # retries have been sent, so they have their connection
        assert await publisher.publish([a_message(1)]) == [None]
        await eventually(lambda: ("event-1", 0) in tries)
        await delete(vhost, f"{DISPATCH_QUEUE}.retry.0.3s")
        gate.set()
        await eventually(lambda: ("event-1", 1) in tries)


async def test_a_silent_broker_is_unavailable_in_time(bench: RabbitBench, vhost: RabbitAddress) -> None:
    async with a_proxy(vhost.port) as proxy:
        server = replace(bench.server(proxy.port), connect_seconds=0.3)
        async with RabbitPublisher(server, bench.topology, timeout_seconds=0.5) as publisher:
            assert await publisher.publish([a_message()]) == [None]
            proxy.silence()
            for _ in range(3):
                started = time.monotonic()
                answers = await publisher.publish([a_message(), a_message(1)])
                assert all(isinstance(answer, Unavailable) for answer in answers)
                assert time.monotonic() - started < 3
            await proxy.allow()
            await eventually(lambda: _published(publisher))


async def test_a_connection_lost_while_publishing_is_an_error_and_no_cancellation(
    bench: RabbitBench, vhost: RabbitAddress
) -> None:
    async with a_proxy(vhost.port) as proxy:
        server = replace(bench.server(proxy.port), heartbeat_seconds=1, connect_seconds=1)
        async with RabbitPublisher(server, bench.topology, timeout_seconds=30) as publisher:
            proxy.silence()
            started = time.monotonic()
            [answer] = await publisher.publish([a_message()])
            assert isinstance(answer, Unavailable)
            assert time.monotonic() - started < 20


async def _published(publisher: RabbitPublisher) -> bool:
    return await publisher.publish([a_message()]) == [None]


async def test_a_silent_connection_of_a_consumer_is_replaced(bench: RabbitBench, vhost: RabbitAddress) -> None:
    seen = Seen()
    async with a_proxy(vhost.port) as proxy:
        server = replace(bench.server(proxy.port), heartbeat_seconds=1, connect_seconds=1)
        consumer = RabbitConsumer(server, bench.topology, reconnect_seconds=0.1, grace_seconds=1)
        async with consumer.consuming(DISPATCH_QUEUE, seen, concurrency=1, prefetch=1):
            proxy.silence()
            async with RabbitPublisher(bench.server(), bench.topology) as publisher:
                assert await publisher.publish([a_message()]) == [None]
            before = proxy.accepted
            await eventually(lambda: proxy.accepted > before, within=15)
            await proxy.allow()
            await eventually(lambda: seen.deliveries, within=15)


async def test_foreign_properties_and_header_types_survive_a_retry(bench: RabbitBench, vhost: RabbitAddress) -> None:
    deliveries: list[Delivery] = []

    async def later_once(delivery: Delivery) -> Outcome:
        deliveries.append(delivery)
        return ACK if len(deliveries) > 1 else Retry(0.1, counted=True)

    headers: dict[str, object] = {
        "number": 7, "float": 1.5, "none": None, "bytes": bytearray(b"\xff"), "list": [1, "a"], "table": {"a": True}
    }  # fmt: skip
    consumer = RabbitConsumer(bench.server(), bench.topology)
    async with (
        consumer.consuming(DISPATCH_QUEUE, later_once, concurrency=1, prefetch=1),
        await aio_pika.connect(vhost.url) as connection,
        connection.channel() as channel,
    ):
        answers = await channel.declare_queue("answers", durable=True)
        odd = aio_pika.Message(b"x", headers=headers, reply_to="answers", content_type="text/odd", priority=200)  # pyright: ignore[reportArgumentType]  # odd on purpose
        await channel.default_exchange.publish(odd, PREFIX + DISPATCH_QUEUE)
        await eventually(lambda: len(deliveries) == 2)
        assert await answers.get(fail=False) is None  # no reply is sent to our message
    shown = {
        "number": "7", "float": "1.5", "none": "None", "bytes": "\ufffd", "list": "[1, 'a']", "table": "{'a': True}"
    }  # fmt: skip
    assert deliveries[0].headers == shown
    assert deliveries[1].headers == {**shown, "x-attempt": "1"}


async def test_a_header_that_cannot_be_encoded_does_not_prevent_a_retry(
    bench: RabbitBench, vhost: RabbitAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pamqp reads a long string that is not UTF-8 as bytes, and refuses to write bytes."""
    attempts: list[int] = []

    async def later_once(delivery: Delivery) -> Outcome:
        attempts.append(delivery.attempt)
        return ACK if delivery.attempt else Retry(0.1, counted=True)

    consumer = RabbitConsumer(bench.server(), bench.topology)
    async with (
        consumer.consuming(DISPATCH_QUEUE, later_once, concurrency=1, prefetch=1),
        await aio_pika.connect(vhost.url) as connection,
        connection.channel() as channel,
    ):

        def in_latin_1(text: str) -> bytes:
            return struct.pack(">I", len(text)) + text.encode("latin-1")

        with monkeypatch.context() as patch:  # a publisher that is not Python
            patch.setattr("pamqp.encode.long_string", in_latin_1)
            odd = aio_pika.Message(b"x", headers={"odd": "caf\xe9"})
            await channel.default_exchange.publish(odd, PREFIX + DISPATCH_QUEUE)
        await eventually(lambda: attempts == [0, 1])


async def test_wrong_credentials_are_unavailable_with_the_reason(bench: RabbitBench) -> None:
    server = replace(bench.server(), user="nobody")
    async with RabbitPublisher(server, bench.topology) as publisher:
        [answer] = await publisher.publish([a_message()])
    assert isinstance(answer, Unavailable)
    assert "ACCESS_REFUSED" in str(answer)


@pytest.mark.parametrize(
    ("seconds", "tier"), [(0, "1s"), (1, "1s"), (1.2, "5s"), (5, "5s"), (31, "120s"), (9999, "120s")]
)
def test_uses_the_shortest_sufficient_retry_queue_or_the_longest(seconds: float, tier: str) -> None:
    assert Topology("p.").retry_queue(DISPATCH_QUEUE, seconds) == f"p.{DISPATCH_QUEUE}.retry.{tier}"


async def test_a_nack_by_rabbitmq_counts_no_attempt(bench: RabbitBench, vhost: RabbitAddress) -> None:
    """RabbitMQ sends a nack when its disk is full; here because of a policy's limit."""
    async with RabbitPublisher(bench.server(), bench.topology) as publisher:
        async with httpx.AsyncClient(auth=(vhost.user, vhost.password), timeout=20, trust_env=False) as http:
            policy = {"pattern": ".*", "apply-to": "queues", "definition": {"max-length": 1}}
            await http.put(f"{vhost.management_url}/api/policies/{vhost.vhost}/full", json=policy)

        async def takes_nothing() -> bool:
            [answer] = await publisher.publish([a_message()])
            assert answer is None or isinstance(answer, Unavailable)
            return answer is not None

        await eventually(takes_nothing)
