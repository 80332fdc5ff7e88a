"""Canaries: values that must not appear in logs, traces, metrics, problems or the shown parts of parked messages are
sent to every input, valid and failing, and then searched for in all output of the processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from gofleet.adapters.redis.stream_publisher import StreamsPublisher
from gofleet.domain.events import to_json
from gofleet.domain.messages import AGGREGATE_ID, DISPATCH_QUEUE, EVENT_ID, Delivery
from gofleet.embedded import Postgres, Valkey
from tests.auth.mint import AUDIENCE, FIRST, FOREIGN_KEY, claims, published, token
from tests.auth.provider import a_provider
from tests.fuzz.run import an_api
from tests.journeys.installation import Installation
from tests.makers import an_order
from tests.otlp import Collector, collecting
from tests.waiting import eventually

PASSWORD = "canary-Pa55-word"  # noqa: S105  it is what must not be seen
EMAIL, PHONE = "canary@example.org", "+55-11-5550-4711"
LAT, LNG = -23.550417, -46.633271
PLACES = ("550417", "633271")
"""Coordinates precise to the metre."""
ORDER = {"price": 10.0, "tax": 1.0, "pickup": {"lat": LAT, "lng": LNG}, "dropoff": {"lat": LAT + 0.001, "lng": LNG}}


async def sent(client: httpx.AsyncClient, valid: str, forged: str) -> list[httpx.Response]:
    """Send valid and invalid requests to each route; the error responses."""
    right, wrong = {"Authorization": f"Bearer {valid}"}, {"Authorization": f"Bearer {forged}"}
    driver = {"name": f"{EMAIL} {PHONE}"}
    fix = {"lat": LAT, "lng": LNG}
    requests: list[tuple[str, str, dict[str, str], Any]] = [
        ("POST", "/api/v1/orders", right, {"id": "canary-1", **ORDER}),
        ("POST", "/api/v1/orders", wrong, {"id": "canary-2", **ORDER}),
        ("POST", "/api/v1/orders", {"Authorization": f"Basic {PASSWORD}"}, ORDER),
        ("POST", "/api/v1/orders", right, {**ORDER, "password": PASSWORD}),
        ("POST", "/api/v1/orders", right, {**ORDER, "id": EMAIL}),
        ("POST", "/api/v1/orders", right, {**ORDER, "price": PASSWORD}),
        ("POST", "/api/v1/orders", right, {**ORDER, "pickup": {"lat": LAT * 100, "lng": LNG}}),
        ("GET", f"/api/v1/orders?cursor={PASSWORD}&token={PASSWORD}", right, None),
        ("GET", f"/api/v1/orders/{EMAIL}", right, None),
        ("GET", f"/api/v1/{PASSWORD}", right, None),
        ("PATCH", "/api/v1/orders/canary-1", {**right, "X-Api-Key": PASSWORD}, {"secret": PASSWORD}),
        ("PUT", "/api/v1/drivers/canary-d", right, driver),
        ("PUT", "/api/v1/drivers/canary-d/position", right, fix),
        ("PUT", "/api/v1/drivers/canary-d/position", wrong, fix),
        ("PUT", "/api/v1/drivers/canary-d/position", right, {**fix, "lat": LAT * 100}),
        ("POST", "/api/v1/drivers/positions", right, {"positions": [{"driver_id": EMAIL, **fix}]}),
        ("GET", f"/api/v1/drivers?bbox={LNG},{LAT},{LNG - 1},{LAT - 1}", right, None),
        ("POST", "/api/v1/orders/canary-1/dispatch", {**right, "If-Match": PASSWORD}, {"driver_id": PHONE}),
    ]
    answers = [
        await client.request(method, path, headers=headers, json=body) for method, path, headers, body in requests
    ]
    answers.append(await client.post("/api/v1/orders", content=f'{{"token": "{PASSWORD}"', headers=right))
    return [answer for answer in answers if answer.is_error or "errors" in answer.text]


async def parked(installation: Installation, client: httpx.AsyncClient, valid: str) -> str:
    """Lists and groups of parked messages that are malformed and full of canaries. The content itself is kept for a
    replay and shown only with a single message."""
    environment = installation.environment
    [event] = an_order("canary-4").pending_events
    text = to_json(event).decode()
    bodies = [
        PASSWORD,
        text.replace("orders.created", PASSWORD),
        text.replace('"price":100.00', f'"price":"{PASSWORD}"'),
        text.replace('"occurred_at":"', f'"occurred_at":"{EMAIL} {LAT} '),
        text.replace('"lat":-23.5505', f'"lat":"{PHONE} {LAT}"'),
        text.replace('"sequence":1', f'"sequence":"{PASSWORD}"'),
    ]
    assert len(set(bodies)) == len(bodies)
    at = f"redis://:{environment['REDIS_PASSWORD']}@{environment['REDIS_HOST']}:{environment['REDIS_PORT']}"
    prefix = environment["NAME_PREFIX"]
    async with StreamsPublisher(at, prefix=f"{prefix}gofleet:") as publisher:
        named = {EVENT_ID: str(event.event_id), AGGREGATE_ID: event.order_id}
        headers = {**named, "password": PASSWORD, "authorization": f"Bearer {valid}", "contact": f"{EMAIL} {PHONE}"}
        deliveries = [Delivery(DISPATCH_QUEUE, body.encode(), headers) for body in bodies]
        assert await publisher.put_back(deliveries) == [None] * len(bodies)
    admin = {"Authorization": f"Bearer {valid}"}

    async def shown() -> str | None:
        listed = await client.get("/api/v1/parked", headers=admin)
        groups = await client.get("/api/v1/parked/groups", headers=admin)
        return listed.text + groups.text if len(listed.json()["items"]) == len(bodies) else None

    return await eventually(shown, within=30, every=0.2) or ""


def output_of(installation: Installation, collector: Collector) -> dict[str, str]:
    """All output of the processes, by kind."""
    metrics = [httpx.get(f"http://127.0.0.1:{one.metrics_port}/metrics").text for one in installation.processes]
    return {
        "logs": "\n".join(one.log.read_text() for one in installation.processes),
        "metrics": "\n".join(metrics),
        "traces": "\n".join(repr(span) for span in collector.spans()),
    }


@pytest.mark.timeout(120)
async def test_no_output_contains_a_canary(
    postgres_server: Postgres, valkey_server: Valkey, clean_database: str, tmp_path: Path
) -> None:
    database = str(conninfo_to_dict(clean_database)["dbname"])
    with collecting() as collector:
        async with a_provider() as provider:
            provider.publish(published(FIRST))
            mine = claims(iss=provider.url, sub="canary-admin", roles=["admin"], exp=claims()["iat"] + 3000)
            valid, forged = token(mine), token(mine, FOREIGN_KEY)
            settings = {
                "AUTH": "oidc",
                "AUTH_ISSUER": provider.url,
                "AUTH_AUDIENCE": AUDIENCE,
                "LOG_LEVEL": "DEBUG",
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            }
            with an_api(postgres_server, valkey_server, database, tmp_path, **settings) as installation:
                async with httpx.AsyncClient(base_url=installation.api, timeout=10) as client:
                    problems = await sent(client, valid, forged)
                    with psycopg.connect(clean_database) as connection:  # the order travels on, with its place
                        await eventually(lambda: _is_dispatched(connection), within=20)
                        connection.execute("lock table orders in access exclusive mode")
                        held = await client.post(
                            "/api/v1/orders",
                            json={"id": "canary-3", **ORDER},
                            headers={"Authorization": f"Bearer {valid}"},
                        )
                        connection.rollback()
                    assert held.status_code == 503
                    problems.append(held)
                    shown = await parked(installation, client, valid)
                    await eventually(lambda: len(collector.spans()) > len(problems), within=20)
                    found = await asyncio.to_thread(output_of, installation, collector)
                installation.stop()
            found["logs"] = "\n".join(one.log.read_text() for one in installation.processes)
    found["parked"] = shown
    found["problems"] = "\n".join(answer.text for answer in problems)

    assert len(problems) == 17
    assert "canary-1" in found["logs"]  # the output is not empty
    assert "canary-1" in found["traces"]
    secrets = [PASSWORD, valid, forged, valid.split(".")[1], valid.split(".")[2]]
    leaks = [
        f"{canary!r} in the {where}: {text[max(0, text.find(canary) - 200) : text.find(canary) + 100]}"
        for where, text in found.items()
        for canary in [*secrets, EMAIL, PHONE, *PLACES]
        if canary in text
    ]
    assert leaks == [], "\n".join(leaks)


def _is_dispatched(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("select status from orders where id = 'canary-1'").fetchone()
    connection.rollback()
    return row is not None and row[0] in {"DISPATCHED", "MANUAL_DISPATCH"}
