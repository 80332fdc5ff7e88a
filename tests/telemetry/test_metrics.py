"""Every metric changes when its event happens, and the series that alerts read exist from the start."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gofleet import __version__
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresInbox
from gofleet.adapters.postgres.pool import acquire, create_pool
from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.redis.leases import RedisLeases
from gofleet.domain.errors import AlreadyHandled, MessageRefused, Unavailable
from gofleet.domain.messages import ATTEMPT, DISPATCH_QUEUE, Delivery, Message, Outcome, Receipt, Retry
from gofleet.domain.order import Reason
from gofleet.domain.principal import SWEEPER, WORKER
from gofleet.embedded import RabbitMQ
from gofleet.telemetry.instrumentation import handled
from gofleet.telemetry.metrics import TIERS, measure_loop_lag, set_build_info, tier
from tests.databases import register
from tests.makers import CENTRE, an_order
from tests.ports.redises import a_client
from tests.roles.stock import OURS, StockClient, WilfulPositions, serving
from tests.services import a_vhost
from tests.telemetry.moved import moved, sample
from tests.waiting import eventually

EVENT_ID = "0198c0de-0000-7000-8000-000000000001"
GRPC = "gofleet_grpc_request_duration_seconds_count"


async def test_calls_of_the_fleet_service_by_method_and_status() -> None:
    async with serving(WilfulPositions()) as port:
        client = StockClient(port, OURS)
        try:
            with moved(GRPC, method="NearestDrivers", status="OK"):
                await client.call("NearestDrivers", lat=CENTRE.lat, lng=CENTRE.lng, radius_km=1, limit=1)
            with moved(GRPC, method="NearestDrivers", status="INVALID_ARGUMENT"), suppress(Exception):
                await client.call("NearestDrivers", lat=1000, lng=0, radius_km=1, limit=1)
        finally:
            client.channel.close()


@pytest.mark.parametrize(("attempt", "label"), [(0, "1"), (3, "4"), (TIERS + 5, str(TIERS))])
async def test_retries_by_tier(attempt: int, label: str) -> None:
    async def again(_: Delivery) -> Outcome:
        return Retry(1, counted=True)

    assert tier(attempt) == label
    with moved("gofleet_messages_retried_total", queue=DISPATCH_QUEUE, tier=label):
        await handled(again, "rabbitmq")(Delivery(DISPATCH_QUEUE, b"", {ATTEMPT: str(attempt)}))


async def test_waiting_for_a_driver_is_no_retry() -> None:
    async def wait(_: Delivery) -> Outcome:
        return Retry(1)

    with (
        moved("gofleet_messages_retried_total", up=0, queue=DISPATCH_QUEUE, tier="1"),
        moved("gofleet_messages_handled_total", queue=DISPATCH_QUEUE, verdict="later"),
    ):
        await handled(wait, "rabbitmq")(Delivery(DISPATCH_QUEUE, b""))


async def test_busy_leases(request: pytest.FixtureRequest) -> None:
    async with a_client(request, "valkey_server") as (redis, prefix):
        leases = RedisLeases(redis, prefix=prefix)
        with moved("gofleet_leases_busy_total", up=0):
            await leases.acquire("e-1", "a")
        with moved("gofleet_leases_busy_total"):
            await leases.acquire("e-1", "b")


async def test_messages_handled_before(clean_database: str) -> None:
    receipt = Receipt("dispatch", EVENT_ID)
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        await register(pool, "ana")
        orders, inbox = PostgresOrders(pool), PostgresInbox(pool)
        with moved("gofleet_inbox_duplicates_total", up=0, consumer="dispatch"):
            assert await inbox.outcome(receipt) is None
        await inbox.record(receipt, "dispatched")
        with moved("gofleet_inbox_duplicates_total", consumer="dispatch"):
            assert await inbox.outcome(receipt) == "dispatched"
        await orders.add(an_order("o-1"))
        order = await orders.get("o-1")
        order.dispatch("ana", by=WORKER)
        with moved("gofleet_inbox_duplicates_total", consumer="dispatch"), pytest.raises(AlreadyHandled):
            await orders.save(order, receipt)


async def test_outcomes_have_the_actor_and_users_only_as_one_value(clean_database: str) -> None:
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        orders = PostgresOrders(pool)
        for by, label in ((SWEEPER, "sweeper"), ("maria@example.com", "client")):
            await orders.add(an_order(f"o-{label}"))
            order = await orders.get(f"o-{label}")
            order.send_to_manual(Reason.DEADLINE, by=by)
            with moved("gofleet_order_outcomes_total", outcome="manual_dispatch", by=label):
                await orders.save(order)


async def test_waits_for_a_connection(clean_database: str) -> None:
    async with create_pool(clean_database, size=1, wait_seconds=0.05) as pool:
        with moved("gofleet_pool_wait_seconds_count"):
            async with acquire(pool):
                with moved("gofleet_pool_timeouts_total"), pytest.raises(Unavailable):
                    async with acquire(pool):
                        pass


async def test_a_message_that_no_queue_takes(rabbit_server: RabbitMQ) -> None:
    message = Message(EVENT_ID, "nobody.listens", "o-1", 1, b"{}")
    with a_vhost(rabbit_server) as at:
        server = RabbitServer(at.host, at.port, at.user, at.password, at.vhost)
        async with RabbitPublisher(server) as publisher:
            with moved("gofleet_messages_unroutable_total"):
                [answer] = await publisher.publish([message])
            with moved("gofleet_messages_unroutable_total", up=0):
                assert await publisher.publish([replace(message, type="orders.created")]) == [None]
    assert isinstance(answer, MessageRefused)


async def test_a_blocked_loop_is_late() -> None:
    stop = asyncio.Event()
    late = sample("gofleet_event_loop_lag_seconds_sum") or 0.0
    watching = asyncio.create_task(measure_loop_lag(stop))
    await asyncio.sleep(0)

    time.sleep(0.9)  # noqa: ASYNC251  on purpose
    await eventually(lambda: (sample("gofleet_event_loop_lag_seconds_sum") or 0.0) - late >= 0.3)

    stop.set()
    await watching


def test_each_scrape_has_version_and_roles() -> None:
    set_build_info(("worker", "api"))

    python = ".".join(map(str, sys.version_info[:3]))
    assert sample("gofleet_build_info", version=__version__, python=python, roles="api,worker") == 1


def test_the_series_of_alerts_exist_from_the_start() -> None:
    code = "import gofleet.telemetry.metrics; from prometheus_client import generate_latest as g; print(g().decode())"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]

    def value(name: str, **labels: str) -> list[float]:
        return [one.value for one in samples if one.name == name and labels.items() <= one.labels.items()]

    created = {"method": "POST", "route": "/api/v1/orders"}
    for status in ("201", "500", "503"):
        assert value("gofleet_http_request_duration_seconds_count", **created, status=status) == [0]
    assert value("gofleet_http_request_duration_seconds_bucket", **created, status="201", le="0.2") == [0]
    assert value("gofleet_order_outcomes_total", outcome="manual_dispatch", by="worker") == [0]
    assert value("gofleet_messages_parked_total", queue=DISPATCH_QUEUE) == [0]
    assert value("gofleet_inbox_duplicates_total", consumer="dispatch") == [0]
    for name in ("orders_due_total", "orders_deadline_missed_total", "messages_unroutable_total", "breaker_state"):
        assert value(f"gofleet_{name}") == [0], name
    assert value("gofleet_order_dispatch_seconds_bucket", le="5.0") == [0]
