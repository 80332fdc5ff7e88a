"""A RabbitMQ node killed and stopped under load: no confirmed message is lost, and consuming resumes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.consumer import RabbitConsumer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain import events
from gofleet.domain.errors import Unavailable
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, Delivery, Message, Outcome, Retry
from gofleet.embedded import RabbitMQ
from tests.waiting import eventually

BATCH = 50
TOPOLOGY = Topology("restart.", (0.5, 1.0))


@pytest.fixture
async def node(tmp_path: Path) -> AsyncGenerator[RabbitMQ]:
    server = RabbitMQ(tmp_path / "rabbit")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def a_server(node: RabbitMQ) -> RabbitServer:
    at = node.address
    return RabbitServer(at.host, at.port, at.user, at.password, at.vhost)


class Load:
    """Publishes without end and handles what comes, every third message at the second try."""

    def __init__(self) -> None:
        self.confirmed: set[str] = set()
        self.handled: set[str] = set()
        self.deliveries = 0
        self.unavailable = 0

    async def publish(self, publisher: RabbitPublisher, stop: asyncio.Event) -> None:
        batch = 0
        while not stop.is_set():
            batch += 1
            ids = [f"{batch}-{n}" for n in range(BATCH)]
            answers = await publisher.publish([Message(id, events.ORDERS_CREATED, id, 1, b"{}") for id in ids])
            for id, answer in zip(ids, answers, strict=True):
                if answer is None:
                    self.confirmed.add(id)
                else:
                    assert isinstance(answer, Unavailable), answer
                    self.unavailable += 1
            await asyncio.sleep(0.05 if any(answers) else 0.01)

    async def handle(self, delivery: Delivery) -> Outcome:
        self.deliveries += 1
        await asyncio.sleep(0.002)
        if delivery.event_id.endswith("3") and not delivery.attempt:
            return Retry(0.5, counted=True)
        self.handled.add(delivery.event_id)
        return ACK


async def _kill(node: RabbitMQ) -> None:
    node.kill()


async def _stop(node: RabbitMQ) -> None:
    await node.stop()


@pytest.mark.parametrize("end", [_kill, _stop], ids=["killed", "stopped"])
async def test_every_confirmed_message_is_handled_through_a_restart(
    node: RabbitMQ, end: Callable[[RabbitMQ], Awaitable[None]]
) -> None:
    load, stop = Load(), asyncio.Event()
    consumer = RabbitConsumer(a_server(node), TOPOLOGY, reconnect_seconds=0.5)
    async with (
        RabbitPublisher(a_server(node), TOPOLOGY) as publisher,
        consumer.consuming(DISPATCH_QUEUE, load.handle, concurrency=10, prefetch=20),
    ):
        publishing = asyncio.create_task(load.publish(publisher, stop))
        await eventually(lambda: len(load.handled) > 500)
        await end(node)
        before = len(load.confirmed)
        await eventually(lambda: load.unavailable > BATCH)
        await node.start()
        await eventually(lambda: len(load.confirmed) > before + 500, within=30)
        stop.set()
        await publishing
        await eventually(lambda: load.confirmed <= load.handled, within=30)
    print(len(load.confirmed), "confirmed", load.deliveries, "deliveries", load.unavailable, "unavailable")  # noqa: T201
