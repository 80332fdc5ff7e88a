"""A lost connection to RabbitMQ is one warning of ours, without errors and tracebacks of the libraries."""

from __future__ import annotations

import io
import json
import sys
from functools import partial
from typing import Any

from loguru import logger

from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.consumer import RabbitConsumer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain.errors import Unavailable
from gofleet.domain.events import ORDERS_CREATED
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, Delivery, Message, Outcome
from gofleet.embedded import RabbitMQ
from gofleet.telemetry.logging import log_to
from tests.ports.proxy import a_proxy
from tests.services import a_vhost
from tests.waiting import eventually

LOSSES = 3
TOPOLOGY = Topology("lost.")


async def acks(_: Delivery) -> Outcome:
    return ACK


async def consumes(consumer: RabbitConsumer) -> bool:
    try:
        await consumer.supervisor.check()
    except Unavailable:
        return False
    return True


async def stopped_consuming(consumer: RabbitConsumer) -> bool:
    return not await consumes(consumer)


async def publishes(publisher: RabbitPublisher) -> bool:
    return await publisher.publish([Message("e-1", ORDERS_CREATED, "o-1", 1, b"{}")]) == [None]


async def test_each_lost_connection_is_one_warning(rabbit_server: RabbitMQ) -> None:
    stream = io.StringIO()
    log_to(stream, level="WARNING", json=True, context={})
    try:
        with a_vhost(rabbit_server) as at:
            async with a_proxy(at.port) as proxy:
                server = RabbitServer("127.0.0.1", proxy.port, at.user, at.password, at.vhost)
                consumer = RabbitConsumer(server, TOPOLOGY, reconnect_seconds=0.1)
                async with (
                    RabbitPublisher(server, TOPOLOGY, timeout_seconds=2) as publisher,
                    consumer.consuming(DISPATCH_QUEUE, acks, concurrency=1, prefetch=1),
                ):
                    for _ in range(LOSSES):
                        await eventually(partial(publishes, publisher))
                        await proxy.drop()
                        await eventually(partial(stopped_consuming, consumer))
                        await eventually(partial(consumes, consumer))
                    lines: list[dict[str, Any]] = [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        logger.remove()
        logger.add(sys.stderr)

    assert [(line["level"], line["event"].split(",")[0]) for line in lines] == [("WARNING", "cannot consume")] * LOSSES
    assert not any("traceback" in line for line in lines)
