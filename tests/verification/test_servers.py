"""Violations of the invariants about the servers are found, and nothing else is: I14, I17, I18."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import aio_pika
import msgspec
import psycopg
import pytest

from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import topology_of
from gofleet.adapters.redis.stream import GROUP
from gofleet.embedded import RabbitAddress, RabbitMQ
from gofleet.parts import rabbit_server as server_of
from gofleet.settings import load
from gofleet.verification import InvariantState, servers
from tests.services import a_vhost
from tests.verification.world import VerifiedInstallation
from tests.waiting import eventually


async def command(world: VerifiedInstallation, *words: str | int) -> None:
    """A client of the installation's Redis."""
    await cast("Any", world.redis).execute_command(*words)


async def test_i14_a_busy_driver_missing_in_redis(world: VerifiedInstallation) -> None:
    await command(world, "DEL", f"{world.prefix}busy:ana")

    await world.expect_violations("I14", "ana", says="has o-dispatched, but is not busy in Redis")
    await world.expect_none(live=True)  # its event may be in flight


async def test_i14_a_driver_busy_without_an_order(world: VerifiedInstallation) -> None:
    await world.positions.occupy("dora", "o-delivered", 3)

    await world.expect_violations("I14", "dora", says="is busy with o-delivered")


async def test_i14_a_busy_driver_that_is_shown_as_free(world: VerifiedInstallation) -> None:
    await command(world, "GEOADD", f"{world.prefix}drivers:free", -46, -23, "ana")

    await world.expect_violations("I14", "ana", says="indexed as free")


async def test_i19_a_free_driver_that_is_not_registered(world: VerifiedInstallation) -> None:
    await command(world, "GEOADD", f"{world.prefix}drivers:free", -46, -23, "ghost")

    await world.expect_violations("I19", "ghost", says="indexed as free, and is not a registered driver")


@pytest.mark.parametrize("key", ["claim:ana", "claimed:o-1"])
async def test_i14_a_claim_without_an_expiry(world: VerifiedInstallation, key: str) -> None:
    await command(world, "SET", f"{world.prefix}{key}", "x", "PX", 60_000)
    await world.expect_none()
    await command(world, "PERSIST", f"{world.prefix}{key}")

    await world.expect_violations("I14", f"{world.prefix}{key}", says="never expires")


@pytest.mark.parametrize("queue", ["orders.created", "fleet.drivers", "orders.created.parking"])
async def test_i17_a_message_in_a_stream(world: VerifiedInstallation, queue: str) -> None:
    stream = f"{world.prefix}stream:{queue}"
    await command(world, "XADD", stream, "*", "__data__", "x")

    await world.expect_violations("I17", stream, says="has 1 messages ready")
    await world.expect_none(live=True)


async def test_i17_a_message_held_by_a_consumer_of_a_stream(world: VerifiedInstallation) -> None:
    stream = f"{world.prefix}stream:orders.created"
    await command(world, "XADD", stream, "*", "__data__", "x")
    await command(world, "XGROUP", "CREATE", stream, GROUP, "0")
    await command(world, "XREADGROUP", "GROUP", GROUP, "somebody", "STREAMS", stream, ">")

    await world.expect_violations("I17", stream, says="has 0 messages ready and 1 held by consumers")


async def test_i17_a_retry_that_waits_in_redis(world: VerifiedInstallation) -> None:
    await command(world, "ZADD", f"{world.prefix}stream:orders.created.later", 1, "x")

    await world.expect_violations("I17", f"{world.prefix}stream:orders.created.later")


@pytest.fixture
async def rabbit(
    world: VerifiedInstallation, environment: dict[str, str], rabbit_server: RabbitMQ
) -> AsyncGenerator[RabbitAddress]:
    """The same installation with RabbitMQ as its broker; its queues are not declared yet."""
    with a_vhost(rabbit_server) as at:
        there = {"RABBITMQ_HOST": at.host, "AMQP_PORT": str(at.port), "RABBITMQ_VHOST": at.vhost}
        login = {"RABBITMQ_USER": at.user, "RABBITMQ_PASSWORD": at.password}
        world.settings = load({**environment, **there, **login, "BROKER": "rabbitmq"}, dotenv=None)
        yield at


async def declare(world: VerifiedInstallation) -> None:
    async with RabbitPublisher(server_of(world.settings), topology_of(world.settings)):
        pass


async def test_i17_queues_that_do_not_exist(world: VerifiedInstallation, rabbit: RabbitAddress) -> None:
    await world.expect_violations("I17", *topology_of(world.settings).names(), says="does not exist")


@pytest.mark.parametrize("queue", ["orders.created", "orders.created.retry.120s", "fleet.drivers.parking"])
async def test_i17_a_message_in_a_queue(world: VerifiedInstallation, rabbit: RabbitAddress, queue: str) -> None:
    await declare(world)
    await world.expect_none()
    name = f"{world.settings.general.name_prefix}{queue}"
    async with await aio_pika.connect(rabbit.url) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"x"), name)

    await world.expect_violations("I17", name, says="has 1 messages ready")


async def test_i17_a_message_held_by_a_consumer(world: VerifiedInstallation, rabbit: RabbitAddress) -> None:
    await declare(world)
    name = f"{world.settings.general.name_prefix}orders.created"
    async with await aio_pika.connect(rabbit.url) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"x"), name)
        queue = await channel.get_queue(name)
        held = await queue.get()
        assert held is not None
        await world.expect_none()  # over AMQP it cannot be seen
        # The API's figures are a few seconds old and lack the message at first.
        await eventually(lambda: _sees(world, rabbit), within=30, every=0.5)
        await world.expect_violations("I17", name, says="1 held by consumers", management=rabbit.management_url)


async def _sees(world: VerifiedInstallation, rabbit: RabbitAddress) -> bool:
    report = await world.verify(management=rabbit.management_url)
    return report.results[16].total > 0


async def test_i17_an_unavailable_management_api_is_unknown(world: VerifiedInstallation, rabbit: RabbitAddress) -> None:
    await declare(world)

    report = await world.verify(management="http://127.0.0.1:1")

    assert report.results[16].verdict is InvariantState.UNKNOWN
    assert "management API is unavailable" in report.results[16].unreadable[0]
    assert report.exit_code == 3


async def test_i18_a_forgotten_transaction(world: VerifiedInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await psycopg.AsyncConnection.connect(world.dsn) as connection:
        await connection.execute("select 1")
        await world.expect_none()  # not for long
        monkeypatch.setattr(servers, "IDLE_SECONDS", 0.0)

        await world.expect_violations("I18", str(connection.info.backend_pid), says="idle in transaction (gofleet)")


async def test_i18_a_lock_that_others_wait_for_too_long(world: VerifiedInstallation) -> None:
    postgres = msgspec.structs.replace(world.settings.postgres, lock_timeout_ms=1)
    world.settings = msgspec.structs.replace(world.settings, postgres=postgres)
    lock = "select from orders where id = 'o-manual' for update"
    async with (
        await psycopg.AsyncConnection.connect(world.dsn) as holder,
        await psycopg.AsyncConnection.connect(world.dsn) as waiter,
    ):
        await holder.execute(lock)
        waiting = asyncio.create_task(waiter.execute(lock))
        await eventually(lambda: _waits(world, waiter.info.backend_pid))

        await world.expect_violations(
            "I18", str(waiter.info.backend_pid), says=f"held by {{{holder.info.backend_pid}}}"
        )
        await holder.rollback()
        await waiting


def _waits(world: VerifiedInstallation, pid: int) -> bool:
    return world.value(f"select wait_event_type from pg_stat_activity where pid = {pid}") == "Lock"
