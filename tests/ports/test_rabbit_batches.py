"""What is published at once: each message has an answer of its own, and arrives whole."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.domain import events
from gofleet.domain.errors import GoFleetError, MessageRefused
from gofleet.domain.messages import DISPATCH_QUEUE, Message
from gofleet.embedded import RabbitMQ
from tests.ports.brokers import RabbitBench
from tests.ports.test_broker import drained
from tests.services import a_vhost

FRAME_BYTES = 131_072
"""The most that RabbitMQ takes in one frame, unless told otherwise."""


@pytest.fixture
def bench(rabbit_server: RabbitMQ) -> Generator[RabbitBench]:
    with a_vhost(rabbit_server) as address:
        yield RabbitBench(address)


def a_message(number: int, body: bytes = b"{}", order_id: str = "order-1") -> Message:
    return Message(f"event-{number}", events.ORDERS_CREATED, order_id, 1, body)


async def test_bodies_of_any_size_arrive_whole(bench: RabbitBench) -> None:
    sizes = (0, 1, FRAME_BYTES - 8, FRAME_BYTES, 3 * FRAME_BYTES + 1)
    messages = [a_message(number, bytes([number + 65]) * size) for number, size in enumerate(sizes)]
    async with RabbitPublisher(bench.server(), bench.topology) as publisher:
        assert await publisher.publish(messages) == [None] * len(messages)
    bodies = {delivery.event_id: delivery.body for delivery in await drained(bench, DISPATCH_QUEUE)}
    assert bodies == {message.event_id: message.body for message in messages}


async def test_what_cannot_be_written_is_refused_alone(bench: RabbitBench) -> None:
    unwritable = a_message(1, order_id="\ud800")
    async with RabbitPublisher(bench.server(), bench.topology) as publisher:
        answers = await publisher.publish([a_message(0), unwritable, a_message(2)])
        assert answers[0] is answers[2] is None
        assert isinstance(answers[1], MessageRefused)
        assert [type(answer) for answer in await publisher.publish([unwritable])] == [MessageRefused]
        assert await publisher.publish([]) == []
    assert {one.event_id for one in await drained(bench, DISPATCH_QUEUE)} == {"event-0", "event-2"}


async def test_batches_on_one_connection_have_their_own_answers_also_when_a_caller_leaves(bench: RabbitBench) -> None:
    async with RabbitPublisher(bench.server(), bench.topology) as publisher:

        async def publish(batch: int) -> list[GoFleetError | None]:
            return await publisher.publish([a_message(100 * batch + number) for number in range(100)])

        publishing = [asyncio.create_task(publish(batch)) for batch in range(20)]
        await asyncio.sleep(0)
        for task in publishing[::3]:
            task.cancel()
        answers = await asyncio.gather(*publishing, return_exceptions=True)
        stayed = [batch for batch in range(20) if batch % 3]
        assert [answers[batch] for batch in stayed] == [[None] * 100] * len(stayed)
        assert await publish(20) == [None] * 100
    arrived = {delivery.event_id for delivery in await drained(bench, DISPATCH_QUEUE)}
    assert arrived >= {f"event-{100 * batch + number}" for batch in stayed for number in range(100)}
