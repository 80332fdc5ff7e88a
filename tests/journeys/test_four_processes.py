"""Orders processed by four processes on real PostgreSQL, RabbitMQ and Redis."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from gofleet.embedded import Postgres, RabbitMQ, Valkey
from tests.journeys.installation import Installation, Town, an_installation
from tests.journeys.truth import count, read_state, settled
from tests.waiting import eventually

ALL: tuple[str, ...] = ("fleet", "relay", "worker", "api")
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SEED_CURL = b'{"id":"pedido-teste-01", "price": 100.0, "tax": 10.0}'


async def test_the_seeds_order_is_dispatched(installation: Installation, town: Town) -> None:
    fleet, _, worker, _ = installation.start(*ALL)
    await town.add_drivers(1)
    headers = {"content-type": "application/json", "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}

    answer = await town.http.post("/api/v1/orders", content=SEED_CURL, headers=headers)

    assert answer.status_code == 201
    assert answer.json()["final_price"] == 110.0

    async def dispatched() -> dict[str, object] | None:
        order = (await town.http.get(answer.headers["location"])).json()
        return order if order["status"] == "DISPATCHED" else None

    order = await eventually(dispatched, within=10)
    assert order is not None
    assert order["driver_id"] == "driver-000"
    # One trace, from the client's request over outbox and broker to the roles behind.
    await eventually(lambda: all(TRACE_ID in role.log.read_text() for role in (worker, fleet)))
    codes = installation.stop()
    assert set(codes.values()) == {0}, codes


async def test_many_orders_with_few_drivers_and_two_processes_of_each_role(
    installation: Installation, town: Town, clean_database: str
) -> None:
    installation.start("fleet", "relay", "relay", "worker", "worker", "api")
    await town.add_drivers(100)

    for batch in range(0, 500, 20):
        await asyncio.gather(*(town.create_order(f"o-{number}") for number in range(batch, batch + 20)))

    await eventually(lambda: settled(clean_database), within=60, every=0.2)
    found = read_state(clean_database)
    assert found.violations == []
    assert found.by_status == {"DISPATCHED": 100, "MANUAL_DISPATCH": 400}


@pytest.mark.parametrize("victim", ALL)
async def test_a_killed_role_loses_nothing(
    installation: Installation, town: Town, clean_database: str, victim: str
) -> None:
    processes = dict(zip(ALL, installation.start(*ALL), strict=True))
    await town.add_drivers(100)
    ordering = asyncio.create_task(_two_hundred(town))
    # In the middle, with messages in flight.
    await eventually(lambda: count(clean_database) > 60, within=60, every=0.1)

    processes[victim].send_signal(signal.SIGKILL)
    processes[victim].wait()
    installation.launch(victim)

    await ordering
    # As drivers become free for waiting orders, all must end.
    await eventually(lambda: _settled_or_deliver(town, clean_database), within=90, every=0.1)
    found = read_state(clean_database)
    assert found.violations == []
    assert sum(found.by_status.values()) == 200


async def _two_hundred(town: Town) -> None:
    for batch in range(0, 200, 10):
        await asyncio.gather(*(town.create_order(f"o-{number}") for number in range(batch, batch + 10)))


async def _settled_or_deliver(town: Town, conninfo: str) -> bool:
    await town.deliver_all()
    return settled(conninfo)


async def test_without_a_fleet_orders_are_escalated(
    installation: Installation, town: Town, clean_database: str
) -> None:
    installation.start("relay", "worker", "api", RETRY_TIERS_SECONDS="1", WORKER_MAX_ATTEMPTS="2")

    await asyncio.gather(*(town.create_order(f"o-{number}") for number in range(20)))

    await eventually(lambda: settled(clean_database), within=60, every=0.1)
    found = read_state(clean_database)
    assert (found.by_status, found.violations) == ({"MANUAL_DISPATCH": 20}, [])


async def test_without_a_worker_orders_are_escalated_in_time(
    installation: Installation, town: Town, clean_database: str
) -> None:
    installation.start("relay", "api", T_MAX_SECONDS="1", SWEEP_SECONDS="0.2")

    await town.create_order("o-1")

    await eventually(lambda: settled(clean_database), within=30, every=0.1)
    found = read_state(clean_database)
    assert (found.by_status, found.violations) == ({"MANUAL_DISPATCH": 1}, [])
    assert (await town.http.get("/api/v1/orders/o-1")).json()["reason"] == "deadline"


async def test_the_api_accepts_orders_with_everything_else_down(
    postgres_server: Postgres, installation: Installation, town: Town, clean_database: str
) -> None:
    nowhere = {"RABBITMQ_HOST": "127.0.0.1", "AMQP_PORT": "1", "REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1"}
    installation.start("api", WEB_MAX_BODY_BYTES="1000", **nowhere)

    too_large = await town.http.post("/api/v1/orders", json={"id": "o" * 1000, "price": 1, "tax": 0})
    assert too_large.status_code == 413
    for number in range(3):
        answer = await town.http.post("/api/v1/orders", json={"id": f"o-{number}", "price": 1, "tax": 0})
        assert answer.status_code == 201

    assert read_state(clean_database).by_status == {"PENDING": 3}


async def test_several_roles_share_a_process(installation: Installation, town: Town) -> None:
    # It would poll only after an hour: a notification wakes the relay.
    (everything,) = installation.start("all", RELAY_POLL_SECONDS="3600")
    await town.add_drivers(1)

    await town.create_order("o-1")

    async def dispatched() -> bool:
        return await town.order_status("o-1") == "DISPATCHED"

    await eventually(dispatched)
    everything.send_signal(signal.SIGTERM)
    assert everything.wait() == 0


def test_a_failed_role_ends_its_process_with_the_reason(installation: Installation) -> None:
    (first,) = installation.start("api")

    second = installation.launch("api")

    assert second.wait() == 1
    last = second.log.read_text().splitlines()[-3:]
    assert [line.split(":")[0].strip() for line in last] == ["error", "why", "fix"]
    assert first.popen.poll() is None


def test_a_database_without_the_schema_is_refused_with_a_fix(
    postgres_server: Postgres,
    valkey_server: Valkey,
    rabbit_server: RabbitMQ,
    installation: Installation,
    tmp_path: Path,
) -> None:
    environment = {**installation.environment, "DB_NAME": "postgres"}
    with an_installation(environment, tmp_path) as unmigrated:
        relay = unmigrated.launch("relay")

        assert relay.wait() == 1
        assert "gofleet migrate" in relay.log.read_text()
