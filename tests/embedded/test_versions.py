"""Data is kept by every PostgreSQL, Redis and RabbitMQ version found on this machine."""

import shutil
from pathlib import Path

import aio_pika
import psycopg
import pytest

from gofleet.embedded import Postgres, RabbitMQ, Valkey, running
from tests.embedded.test_life import a_client

POSTGRES_BINS = [None, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
REDIS_BINARIES = [None, *(Path(found) for found in [shutil.which("redis-server")] if found)]


@pytest.mark.parametrize("bin_dir", POSTGRES_BINS, ids=str)
def test_every_postgres_keeps_its_data(bin_dir: Path | None, tmp_path: Path) -> None:
    with running(server := Postgres(tmp_path, bin_dir=bin_dir)), psycopg.connect(server.address.url) as connection:
        connection.execute("create table kept as select 1 as line")
    with running(server := Postgres(tmp_path, bin_dir=bin_dir)), psycopg.connect(server.address.url) as connection:
        assert connection.execute("select line from kept").fetchone() == (1,)


@pytest.mark.parametrize("binary", REDIS_BINARIES, ids=str)
def test_every_redis_keeps_its_data(binary: Path | None, tmp_path: Path) -> None:
    with running(server := Valkey(tmp_path, binary=binary)), a_client(server) as client:
        client.set("kept", "1")
    with running(server := Valkey(tmp_path, binary=binary)), a_client(server) as client:
        assert client.get("kept") == b"1"


async def test_rabbitmq_keeps_its_data_through_a_stop_and_a_kill(tmp_path: Path) -> None:
    node = RabbitMQ(tmp_path)
    await node.start()
    await publish(node, b"before the stop")
    await node.stop()
    node = RabbitMQ(tmp_path)  # its ports are other ones
    await node.start()
    await publish(node, b"before the kill")
    address = node.address
    node.kill()
    try:
        await node.start()

        assert node.address == address
        assert await consume(node, 2) == [b"before the stop", b"before the kill"]
    finally:
        await node.stop()


async def publish(node: RabbitMQ, body: bytes) -> None:
    """Publish a persistent message to a quorum queue with confirmation."""
    async with await aio_pika.connect(node.address.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "kept")


async def consume(node: RabbitMQ, count: int) -> list[bytes]:
    """Consume `count` messages of that queue."""
    async with await aio_pika.connect(node.address.url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
        async with queue.iterator(timeout=20) as messages:
            return [(await anext(messages)).body for _ in range(count)]
