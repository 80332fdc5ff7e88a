"""L5 and L6, on a real RabbitMQ; see also tests/ports/test_rabbit_restart.py."""

from __future__ import annotations

from collections.abc import Generator
from uuid import uuid4

import pytest

from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.consumer import RabbitConsumer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain import events
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, Delivery, Message, Outcome
from gofleet.embedded import RabbitAddress, RabbitMQ
from tests.defects.lossy_relays import OneConnection
from tests.defects.ways import Way, both_ways
from tests.ports.proxy import a_proxy
from tests.services import a_vhost
from tests.waiting import eventually

TOPOLOGY = Topology(tiers_seconds=(1,))


@pytest.fixture
def vhost(rabbit_server: RabbitMQ) -> Generator[RabbitAddress]:
    with a_vhost(rabbit_server) as address:
        yield address


def server(at: RabbitAddress, port: int | None = None) -> RabbitServer:
    return RabbitServer(at.host, port or at.port, at.user, at.password, at.vhost)


def publisher(at: RabbitServer, way: Way) -> RabbitPublisher | OneConnection:
    return RabbitPublisher(at, TOPOLOGY) if way is Way.OURS else OneConnection(at, TOPOLOGY.exchange.name)


def an_event() -> Message:
    id = str(uuid4())
    return Message(id, events.ORDERS_CREATED, id, 1, b"{}")


@both_ways
async def test_l5_a_publisher_recovers_after_an_outage_of_the_broker(vhost: RabbitAddress, way: Way) -> None:
    async with a_proxy(vhost.port) as proxy, publisher(server(vhost, proxy.port), way) as publishing:

        async def published() -> bool:
            return await publishing.publish([an_event()]) == [None]

        assert await published()
        await proxy.cut()
        await eventually(lambda: _failing(publishing))
        await proxy.allow()

        with way.fails("still False"):
            await eventually(published, within=30 if way is Way.OURS else 2, every=0.1)


async def _failing(publishing: RabbitPublisher | OneConnection) -> bool:
    return await publishing.publish([an_event()]) != [None]


@both_ways
async def test_l6_events_published_before_the_first_worker_ever_started_reach_it(
    vhost: RabbitAddress, way: Way
) -> None:
    received: set[str] = set()

    async def receive(delivery: Delivery) -> Outcome:
        received.add(delivery.event_id)
        return ACK

    early = [an_event() for _ in range(5)]
    async with publisher(server(vhost), way) as publishing:
        assert await publishing.publish(early) == [None] * 5  # so their rows are PUBLISHED

    worker = RabbitConsumer(server(vhost), TOPOLOGY)
    async with worker.consuming(DISPATCH_QUEUE, receive, concurrency=1, prefetch=5):
        late = an_event()
        async with RabbitPublisher(server(vhost), TOPOLOGY) as publishing:
            assert await publishing.publish([late]) == [None]
        await eventually(lambda: late.event_id in received)  # and whatever came before it

    with way.fails("lost"):
        assert {event.event_id for event in early} <= received, "lost"
