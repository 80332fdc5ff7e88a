"""What the roles' users may not do at RabbitMQ; the journeys show that their permissions suffice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import replace

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused

from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.consumer import RabbitConsumer
from gofleet.adapters.rabbit.definitions import definitions
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain import events
from gofleet.domain.errors import Unavailable
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, FLEET_QUEUE, Delivery, Message, Outcome, parking_queue
from gofleet.embedded import RabbitAddress, RabbitMQ
from tests.rights.logins import Logins, rabbit_logins
from tests.services import HTTP_SECONDS, a_vhost
from tests.waiting import eventually

TOPOLOGY = Topology("rights.")
CONSUMERS = ("relay", "worker", "fleet")
every_consumer = pytest.mark.parametrize("role", CONSUMERS)
Act = Callable[[AbstractChannel], Awaitable[object]]


@pytest.fixture
def vhost(rabbit_server: RabbitMQ) -> Generator[RabbitAddress]:
    with a_vhost(rabbit_server) as address:
        yield address


@pytest.fixture
def logins(vhost: RabbitAddress) -> Generator[Logins]:
    with rabbit_logins(vhost, TOPOLOGY) as made:
        yield made


def named(name: str) -> str:
    return TOPOLOGY.prefix + name


async def refused(vhost: RabbitAddress, login: dict[str, str], act: Act) -> bool:
    """Whether RabbitMQ refuses it to this user."""
    who = replace(vhost, user=login["RABBITMQ_USER"], password=login["RABBITMQ_PASSWORD"])
    async with await aio_pika.connect(who.url) as connection:
        channel = await connection.channel()
        try:
            await act(channel)
        except ChannelAccessRefused:
            return True
    return False


def consuming(name: str) -> Act:
    async def taken(_: DeliveredMessage) -> None: ...

    async def act(channel: AbstractChannel) -> None:
        underlay = await channel.get_underlay_channel()
        await underlay.basic_consume(named(name), taken)

    return act


def publishing(exchange: str, key: str) -> Act:
    async def act(channel: AbstractChannel) -> None:
        underlay = await channel.get_underlay_channel()
        await underlay.basic_publish(b"{}", exchange=exchange, routing_key=key)

    return act


QUEUES = [name for queue in (DISPATCH_QUEUE, FLEET_QUEUE) for name in (queue, parking_queue(queue))]
OWN = {"relay": set[str](), "worker": set(QUEUES[:2]), "fleet": set(QUEUES[2:])}


@every_consumer
@pytest.mark.parametrize("queue", [*QUEUES, f"{DISPATCH_QUEUE}.retry.1s", f"{FLEET_QUEUE}.retry.120s"])
async def test_a_role_reads_its_own_queues_and_no_other(
    vhost: RabbitAddress, logins: Logins, role: str, queue: str
) -> None:
    assert await refused(vhost, logins[role], consuming(queue)) == (queue not in OWN[role])


@every_consumer
async def test_only_the_relay_may_publish_events(vhost: RabbitAddress, logins: Logins, role: str) -> None:
    act = publishing(named("orders"), events.ORDERS_CREATED)

    assert await refused(vhost, logins[role], act) == (role != "relay")


@every_consumer
async def test_every_role_may_publish_to_a_queue_by_its_name(vhost: RabbitAddress, logins: Logins, role: str) -> None:
    """More than a retry or a replay needs, as SECURITY.md states."""
    assert not await refused(vhost, logins[role], publishing("", named(DISPATCH_QUEUE)))


TAMPERING: dict[str, Act] = {
    "deletes a queue": lambda channel: channel.queue_delete(named(DISPATCH_QUEUE)),
    "deletes the exchange": lambda channel: channel.exchange_delete(named("orders")),
    "declares a queue": lambda channel: channel.declare_queue(named("more"), durable=True),
    "declares a queue of its own": lambda channel: channel.declare_queue(exclusive=True),
    "declares an exchange": lambda channel: channel.declare_exchange(named("more")),
    "publishes past the exchange": publishing("amq.topic", events.ORDERS_CREATED),
}


@every_consumer
@pytest.mark.parametrize("act", TAMPERING.values(), ids=TAMPERING)
async def test_no_role_may_declare_or_delete(vhost: RabbitAddress, logins: Logins, role: str, act: Act) -> None:
    assert await refused(vhost, logins[role], act)


@every_consumer
async def test_no_role_may_change_bindings(vhost: RabbitAddress, logins: Logins, role: str) -> None:
    async def unbind(channel: AbstractChannel) -> None:
        underlay = await channel.get_underlay_channel()
        await underlay.queue_unbind(named(DISPATCH_QUEUE), named("orders"), events.ORDERS_CREATED)

    async def purge(channel: AbstractChannel) -> None:
        underlay = await channel.get_underlay_channel()
        await underlay.queue_purge(named(FLEET_QUEUE))

    assert await refused(vhost, logins[role], unbind)
    assert await refused(vhost, logins[role], purge) == (role != "fleet")  # it could as well consume all of it


@every_consumer
def test_no_role_may_use_the_management_api(vhost: RabbitAddress, logins: Logins, role: str) -> None:
    auth = (logins[role]["RABBITMQ_USER"], logins[role]["RABBITMQ_PASSWORD"])

    assert httpx.get(f"{vhost.management_url}/api/overview", auth=auth, trust_env=False).status_code == 401


def server(vhost: RabbitAddress, login: dict[str, str]) -> RabbitServer:
    return RabbitServer(vhost.host, vhost.port, login["RABBITMQ_USER"], login["RABBITMQ_PASSWORD"], vhost.vhost)


def manage(vhost: RabbitAddress, method: str, path: str, content: object = None) -> None:
    auth, url = (vhost.user, vhost.password), f"{vhost.management_url}/api{path}"
    with httpx.Client(auth=auth, timeout=HTTP_SECONDS, trust_env=False) as http:
        http.request(method, url, json=content).raise_for_status()


async def test_without_declaring_a_role_names_what_is_missing_and_resumes_once_it_exists(
    vhost: RabbitAddress, logins: Logins
) -> None:
    only_looking = replace(TOPOLOGY, declared_by_us=False)
    message = Message("event-1", events.ORDERS_CREATED, "order-1", 1, b"{}")
    seen: list[Delivery] = []

    async def handler(delivery: Delivery) -> Outcome:
        seen.append(delivery)
        return ACK

    for queue in (f"{DISPATCH_QUEUE}.parking", DISPATCH_QUEUE):
        manage(vhost, "DELETE", f"/queues/{vhost.vhost}/{named(queue)}")
    consumer = RabbitConsumer(server(vhost, logins["worker"]), only_looking, reconnect_seconds=0.1)
    async with (
        RabbitPublisher(server(vhost, logins["relay"]), only_looking) as publisher,
        consumer.consuming(DISPATCH_QUEUE, handler, concurrency=1, prefetch=1),
    ):
        with pytest.raises(Unavailable) as caught:
            await publisher.check()
        [failure] = await publisher.publish([message])
        missing = {named(DISPATCH_QUEUE), named(parking_queue(DISPATCH_QUEUE))}
        assert all(name in caught.value.why for name in missing)
        assert f"{named(DISPATCH_QUEUE)}.retry" not in caught.value.why
        assert "RABBITMQ_DECLARE=off" in caught.value.why
        assert isinstance(failure, Unavailable)

        imported = definitions(TOPOLOGY, vhost.vhost)
        manage(vhost, "POST", "/definitions", {name: imported[name] for name in ("queues", "bindings")})

        async def published() -> bool:
            return await publisher.publish([message]) == [None]

        await eventually(published, within=20)
        await eventually(lambda: bool(seen), within=20)


async def test_imported_definitions_equal_our_declarations(vhost: RabbitAddress, logins: Logins) -> None:
    """Otherwise a role with RABBITMQ_DECLARE=on would not start beside the others."""
    async with RabbitPublisher(RabbitServer(vhost.host, vhost.port, vhost.user, vhost.password, vhost.vhost), TOPOLOGY):
        pass


async def test_declaring_without_permission_is_reported(vhost: RabbitAddress, logins: Logins) -> None:
    async with RabbitPublisher(server(vhost, logins["relay"]), TOPOLOGY) as publisher:
        with pytest.raises(Unavailable, match="ACCESS_REFUSED"):
            await publisher.check()


def test_a_user_without_a_password_cannot_log_in(vhost: RabbitAddress) -> None:
    everything = definitions(Topology("locked."), vhost.vhost)
    manage(vhost, "POST", "/definitions", everything)
    try:
        for password in ("", "locked.relay"):
            answer = httpx.get(f"{vhost.management_url}/api/whoami", auth=("locked.relay", password), trust_env=False)
            assert answer.status_code == 401
    finally:
        for user in everything["users"]:
            manage(vhost, "DELETE", f"/users/{user['name']}")
