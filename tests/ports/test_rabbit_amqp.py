"""Batches of messages on one AMQP channel, and the internals of the AMQP libraries that they rest on."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager
from inspect import signature
from typing import Any

import aio_pika
import pytest
from aiormq.abc import ChannelFrame
from faststream.rabbit import Channel

from gofleet.adapters.rabbit.amqp import bare_channel, server_version
from gofleet.adapters.rabbit.connection import Session
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.domain import events
from gofleet.domain.errors import GoFleetError, MessageRefused
from gofleet.domain.messages import DISPATCH_QUEUE, Message
from gofleet.embedded import RabbitMQ
from tests.ports.brokers import RabbitBench
from tests.ports.test_broker import drained
from tests.services import a_vhost

FRAME_BYTES = 131_072
"""RabbitMQ's default for the largest frame."""

CHANNEL_INTERNALS: dict[str, type | tuple[type, ...]] = {
    "write_queue": asyncio.Queue,
    "lock": AbstractAsyncContextManager,
    "delivery_tag": int,
    "confirmations": dict,
    "message_id_delivery_tag": dict,
    "number": int,
    "max_content_size": int,
    "consumers": dict,
}


@pytest.fixture
def bench(rabbit_server: RabbitMQ) -> Generator[RabbitBench]:
    with a_vhost(rabbit_server) as address:
        yield RabbitBench(address)


def a_message(number: int, body: bytes = b"{}", order_id: str = "order-1") -> Message:
    return Message(f"event-{number}", events.ORDERS_CREATED, order_id, 1, body)


async def test_library_internals_are_as_amqp_py_expects(bench: RabbitBench) -> None:
    """After an upgrade of aiormq, aio-pika or FastStream this names what `rabbit/amqp.py` must adapt."""
    session = await Session.open(bench.server(), bench.topology, Channel(publisher_confirms=True))
    try:
        internals: Any = session.channel
        changed = [
            f"aiormq.Channel.{name} is {type(getattr(internals, name, None)).__name__}"
            for name, kind in CHANNEL_INTERNALS.items()
            if not isinstance(getattr(internals, name, None), kind)
        ]
        closing = getattr(internals, "closing", None)
        if not callable(getattr(closing, "add_done_callback", None)):
            changed.append("aiormq.Channel.closing is no future")
        elif internals.closing is closing:
            changed.append("aiormq.Channel.closing is shared between observers: cancelling it would close the channel")
        if not callable(getattr(internals.on_consumer_cancel_callbacks, "add", None)):
            changed.append("aiormq.Channel.on_consumer_cancel_callbacks has no add()")
        future = internals.create_future()
        if not isinstance(future, asyncio.Future):
            changed.append("aiormq.Channel.create_future() returns no future")
        else:
            future.cancel()
        frame: Any = ChannelFrame
        if list(signature(frame).parameters)[:2] != ["payload", "should_close"]:
            changed.append(f"aiormq.abc.ChannelFrame{signature(frame)}")
        if list(signature(frame.marshall).parameters)[:3] != ["channel_number", "frames", "drain_future"]:
            changed.append(f"aiormq.abc.ChannelFrame.marshall{signature(frame.marshall)}")
        async with await aio_pika.connect(bench.server().url) as connection:
            if not server_version(connection)[:1].isdigit():
                changed.append("aio_pika: connection.transport.connection.server_properties")
            await (await bare_channel(connection)).close()
        assert not changed, f"gofleet/adapters/rabbit/amqp.py must follow the libraries: {changed}"
    finally:
        await session.close()


async def test_bodies_of_any_size_arrive_whole(bench: RabbitBench) -> None:
    sizes = (0, 1, FRAME_BYTES - 8, FRAME_BYTES, 3 * FRAME_BYTES + 1)
    messages = [a_message(number, bytes([number + 65]) * size) for number, size in enumerate(sizes)]
    async with RabbitPublisher(bench.server(), bench.topology) as publisher:
        assert await publisher.publish(messages) == [None] * len(messages)
    bodies = {delivery.event_id: delivery.body for delivery in await drained(bench, DISPATCH_QUEUE)}
    assert bodies == {message.event_id: message.body for message in messages}


async def test_refuses_only_the_message_that_cannot_be_encoded(bench: RabbitBench) -> None:
    unencodable = a_message(1, order_id="\ud800")
    async with RabbitPublisher(bench.server(), bench.topology) as publisher:
        outcomes = await publisher.publish([a_message(0), unencodable, a_message(2)])
        assert outcomes[0] is outcomes[2] is None
        assert isinstance(outcomes[1], MessageRefused)
        assert [type(outcome) for outcome in await publisher.publish([unencodable])] == [MessageRefused]
        assert await publisher.publish([]) == []
    assert {delivery.event_id for delivery in await drained(bench, DISPATCH_QUEUE)} == {"event-0", "event-2"}


async def test_concurrent_batches_keep_their_outcomes_when_some_callers_are_cancelled(bench: RabbitBench) -> None:
    async with RabbitPublisher(bench.server(), bench.topology) as publisher:

        async def publish(batch: int) -> list[GoFleetError | None]:
            return await publisher.publish([a_message(100 * batch + number) for number in range(100)])

        publishing = [asyncio.create_task(publish(batch)) for batch in range(20)]
        await asyncio.sleep(0)
        for task in publishing[::3]:
            task.cancel()
        outcomes = await asyncio.gather(*publishing, return_exceptions=True)
        remaining = [batch for batch in range(20) if batch % 3]
        assert [outcomes[batch] for batch in remaining] == [[None] * 100] * len(remaining)
        assert await publish(20) == [None] * 100
    arrived = {delivery.event_id for delivery in await drained(bench, DISPATCH_QUEUE)}
    assert arrived >= {f"event-{100 * batch + number}" for batch in remaining for number in range(100)}
