"""A parked message is shown, replayed and handled by four processes on real servers."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import aio_pika
import httpx
import psycopg
from aio_pika.abc import HeadersType

from gofleet.domain.events import OrderCancelled, to_json
from gofleet.domain.messages import AGGREGATE_ID, DISPATCH_QUEUE, EVENT_ID, FLEET_QUEUE, parking_queue
from tests.journeys.installation import Installation, RoleProcess, Town
from tests.makers import an_order
from tests.waiting import eventually

PARKED = "/api/v1/parked"


async def put(installation: Installation, body: bytes, headers: HeadersType, queue: str = DISPATCH_QUEUE) -> None:
    """Publish a message to the queue directly."""
    at = installation.environment
    host, login = f"{at['RABBITMQ_HOST']}:{at['AMQP_PORT']}", f"{at['RABBITMQ_USER']}:{at['RABBITMQ_PASSWORD']}"
    url = f"amqp://{login}@{host}/{quote(at['RABBITMQ_VHOST'], safe='')}"
    async with await aio_pika.connect(url) as connection, connection.channel(on_return_raises=True) as channel:
        message = aio_pika.Message(body, headers=headers)
        await channel.default_exchange.publish(message, at["NAME_PREFIX"] + queue, mandatory=True)


def metric(relay: RoleProcess, name: str) -> float:
    text = httpx.get(f"http://127.0.0.1:{relay.metrics_port}/metrics", timeout=5, trust_env=False).text
    found = re.search(rf"^{name} (\S+)$", text, re.M)
    return float(found[1]) if found else -1


async def test_a_parked_message_is_replayed_after_its_cause_was_removed(
    installation: Installation, town: Town, clean_database: str
) -> None:
    _, relay, _, _ = installation.start("fleet", "relay", "worker", "api")
    await town.add_drivers(1)
    order = an_order("o-late")
    [event] = order.pending_events

    async def parked(**query: str) -> list[dict[str, Any]]:
        return (await town.http.get(PARKED, params=query)).raise_for_status().json()["items"]

    async def as_many_as(count: int) -> bool:
        return len(await parked()) == count == metric(relay, "gofleet_parked_messages")

    await put(installation, to_json(event), {EVENT_ID: str(event.event_id), AGGREGATE_ID: "o-late"})
    await put(installation, b"\x00\xff", {"no": "id", "CC": ["elsewhere"]})
    gone = OrderCancelled(order_id="o-gone", sequence=2)
    await put(installation, to_json(gone), {EVENT_ID: str(gone.event_id)}, parking_queue(FLEET_QUEUE))
    await eventually(lambda: as_many_as(3), within=30, every=0.2)
    assert {item["reason"]: item["queue"] for item in await parked()} == {
        "no-such-order": DISPATCH_QUEUE,
        "malformed": DISPATCH_QUEUE,
        "crash-loop": FLEET_QUEUE,
    }

    with psycopg.connect(clean_database, autocommit=True) as connection:  # the order comes from a backup
        connection.execute("insert into orders (id, price, tax, final_price) values ('o-late', 100, 10, 110)")
    wish: dict[str, object] = {"filter": {}, "expected_count": 3}
    assert (await town.http.post(f"{PARKED}/replay", json=wish)).status_code == 202
    assert (await town.http.post(f"{PARKED}/replay", json=wish)).status_code == 409

    async def dispatched() -> bool:
        return await town.order_status("o-late") == "DISPATCHED"

    await eventually(dispatched, within=20)
    await eventually(lambda: as_many_as(1), within=30, every=0.2)
    [again] = await parked()
    assert (again["reason"], again["body_bytes"], again["state"]) == ("malformed", 2, "waiting")
    assert len(await parked(state="replayed")) == 3
    assert metric(relay, "gofleet_outbox_failed") == 0
    assert set(installation.stop().values()) == {0}
