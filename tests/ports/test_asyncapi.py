"""The AsyncAPI document is valid, and messages that arrive over RabbitMQ match it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from gofleet.adapters.postgres.drivers import PostgresDrivers
from gofleet.adapters.postgres.history import PostgresHistory
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresOutbox
from gofleet.adapters.postgres.pool import create_pool
from gofleet.adapters.rabbit.asyncapi import OPTIONAL_FIELDS, asyncapi_document
from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain.events import EVENT_TYPES
from gofleet.domain.messages import QUEUES
from gofleet.domain.order import Order
from gofleet.domain.principal import CLIENT
from gofleet.embedded import RabbitAddress, RabbitMQ
from gofleet.usecases.relay import RelayOutbox
from tests.makers import dispatch_to, escalate
from tests.ports.stores import Store
from tests.services import a_vhost

DOCUMENT: dict[str, Any] = asyncapi_document()
MESSAGES: dict[str, Any] = {message["name"]: message for message in DOCUMENT["components"]["messages"].values()}
PAGE = (Path(__file__).resolve().parents[2] / "proto" / "README.md").read_text(encoding="utf-8")
SECONDS = 20.0


@pytest.fixture
def vhost(rabbit_server: RabbitMQ) -> Generator[RabbitAddress]:
    with a_vhost(rabbit_server) as address:
        yield address


@pytest.fixture
async def store(clean_database: str) -> AsyncGenerator[Store]:
    async with create_pool(clean_database, size=4, wait_seconds=5) as pool:
        orders = PostgresOrders(pool)
        yield Store(orders, PostgresOutbox(pool), _NoInbox(), PostgresHistory(pool), PostgresDrivers(pool))


class _NoInbox:
    async def record(self, receipt: object, outcome: str) -> None: ...
    async def outcome(self, receipt: object) -> str | None: ...
    async def prune(self, days: float, limit: int) -> int:
        return 0


def check(body: Any, schema: dict[str, Any]) -> None:
    """ValidationError if `body` does not match the schema."""
    whole = {**schema, "components": DOCUMENT["components"]}
    Draft7Validator(whole, format_checker=Draft7Validator.FORMAT_CHECKER).validate(body)  # pyright: ignore[reportUnknownMemberType]


def test_the_document_is_asyncapi_3() -> None:
    found = ApplicationSchema.model_validate(DOCUMENT)

    assert found.asyncapi == "3.0.0"
    assert set(found.operations) == set(DOCUMENT["operations"])


def test_every_event_and_every_queue_is_described() -> None:
    channels: dict[str, Any] = DOCUMENT["channels"]
    routed = {one["address"]: one for one in channels.values() if one["bindings"]["amqp"]["is"] == "routingKey"}
    queued = {one["address"]: one for one in channels.values() if one["bindings"]["amqp"]["is"] == "queue"}

    assert set(routed) == set(EVENT_TYPES) == set(MESSAGES)
    assert {one["bindings"]["amqp"]["exchange"]["name"] for one in routed.values()} == {"orders"}
    assert set(queued) == set(QUEUES)
    for queue, keys in QUEUES.items():
        assert {DOCUMENT["components"]["messages"][name]["name"] for name in queued[queue]["messages"]} == set(keys)


def test_a_prefix_is_part_of_the_names() -> None:
    text = json.dumps(asyncapi_document(Topology(prefix="staging.")))

    assert '"staging.orders"' in text
    assert '"staging.fleet.drivers"' in text


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_example_is_valid(name: str) -> None:
    [example] = MESSAGES[name]["examples"]

    check(example["payload"], MESSAGES[name]["payload"])
    check(example["headers"], MESSAGES[name]["headers"])


async def test_published_messages_match_the_document(store: Store, vhost: RabbitAddress) -> None:
    async with RabbitPublisher(a_server(vhost)) as publisher, await aio_pika.connect(vhost.url) as connection:
        queue = await listening(connection)
        relay = RelayOutbox(store.outbox, publisher, batch=100)
        await every_move(store, relay)
        seen: dict[str, tuple[dict[str, Any], Any]] = {}
        while set(seen) < set(EVENT_TYPES):
            message = await queue.get(timeout=SECONDS)
            body = json.loads(message.body)
            assert message.routing_key == body["type"]
            assert message.content_type == MESSAGES[body["type"]]["contentType"]
            check(body, MESSAGES[body["type"]]["payload"])
            check(dict(message.headers), MESSAGES[body["type"]]["headers"])
            assert message.headers["x-event-id"] == body["event_id"]
            assert message.headers["x-aggregate-id"] == body["order_id"]
            seen[body["type"]] = dict(message.headers), body
    for name, (headers, body) in seen.items():
        for field in body.keys() - OPTIONAL_FIELDS:
            with pytest.raises(ValidationError):
                check({other: value for other, value in body.items() if other != field}, MESSAGES[name]["payload"])
        with pytest.raises(ValidationError):
            check({**headers, "x-event-type": "orders.exploded"}, MESSAGES[name]["headers"])


async def test_the_documented_consumer_receives_every_event(store: Store, vhost: RabbitAddress) -> None:
    (example,) = re.findall(r"```python consumer\n(.*?)```", PAGE, re.DOTALL)
    environment = {**os.environ, "RABBITMQ_URL": vhost.url}
    consumer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", example, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with RabbitPublisher(a_server(vhost)) as publisher, await aio_pika.connect(vhost.url) as connection:
            await bound(connection, "mine.orders")
            await every_move(store, RelayOutbox(store.outbox, publisher, batch=100))
        assert consumer.stdout is not None
        types: set[str] = set()
        async with asyncio.timeout(SECONDS):
            while types < set(EVENT_TYPES):
                types.add((await consumer.stdout.readline()).decode().split()[1])
    finally:
        consumer.kill()
        await consumer.wait()


async def every_move(store: Store, relay: RelayOutbox) -> None:
    """Publish at least one event of each type."""
    await store.kept("o-1", dispatch_to("ana"), Order.deliver)
    await store.kept("o-2", escalate, Order.redispatch, Order.cancel)
    changed = await store.kept("o-3")
    changed.change({"reference": "A-1001"}, by=CLIENT)
    await store.orders.change(changed)
    await publish_all(relay)
    assert await store.orders.republish_pending(0, 10) == ["o-3"]
    await publish_all(relay)


async def publish_all(relay: RelayOutbox) -> None:
    while await relay():
        pass


async def listening(connection: aio_pika.abc.AbstractConnection) -> aio_pika.abc.AbstractQueue:
    channel = await connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind("orders", "#")
    return queue


async def bound(connection: aio_pika.abc.AbstractConnection, queue: str) -> None:
    """Wait until the consumer consumes, which it does after its binding."""
    async with asyncio.timeout(SECONDS):
        while True:
            async with connection.channel() as channel:
                try:
                    found = await channel.declare_queue(queue, durable=True, passive=True)
                    if found.declaration_result.consumer_count:
                        return
                except aio_pika.exceptions.ChannelClosed:
                    pass  # not declared yet
            await asyncio.sleep(0.05)


def a_server(address: RabbitAddress) -> RabbitServer:
    return RabbitServer(address.host, address.port, address.user, address.password, address.vhost)
