"""A driver gets orders if and only if it is registered, whatever way its positions come: by REST and by gRPC, with
authentication and without."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.adapters.redis.connection import redis_client
from gofleet.domain.driver import Driver
from gofleet.domain.errors import DriverNotFound, FleetUnavailable
from tests.auth.mint import AUDIENCE, FIRST, claims, published, token
from tests.auth.provider import a_provider
from tests.journeys.installation import Installation, Town
from tests.makers import CENTRE, a_position
from tests.waiting import eventually

ROLES = ("fleet", "relay", "worker", "api")
HERE = {"lat": CENTRE.lat, "lng": CENTRE.lng}
AT_ONCE = {"DISPATCH_PATIENCE_SECONDS": "0.2", "RETRY_TIERS_SECONDS": "1"}
DRIVERS = "/api/v1/drivers"


@asynccontextmanager
async def a_fleet_of(installation: Installation) -> AsyncGenerator[GrpcFleet]:
    async with GrpcFleet("127.0.0.1", int(installation.environment["GRPC_PORT"]), timeout_seconds=5) as fleet:
        yield fleet


def problem(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"].rsplit("/", 1)[-1]


async def becomes(town: Town, order_id: str, status: str) -> dict[str, Any]:
    async def order() -> dict[str, Any] | None:
        shown = (await town.http.get(f"/api/v1/orders/{order_id}")).json()
        return shown if shown["status"] == status else None

    return await eventually(order, within=20) or {}


async def test_every_part_answers_alike_about_an_unregistered_driver(installation: Installation, town: Town) -> None:
    installation.start(*ROLES, **AT_ONCE)
    fix = {"driver_id": "ghost", **HERE}
    moved = await town.http.put(f"{DRIVERS}/ghost/position", json=HERE)
    again = await town.http.put(f"{DRIVERS}/ghost/position", json=HERE)
    for answer in (moved, again):
        assert problem(answer) == (404, "no-such-driver")
        assert answer.json()["detail"] == (await town.http.get(f"{DRIVERS}/ghost")).json()["detail"]
    kind = await town.http.get(moved.json()["type"])
    assert "PUT /api/v1/drivers/" in kind.json()["hint"]
    batch = (
        await town.http.post(f"{DRIVERS}/positions", json={"positions": [fix, {"driver_id": "x/y", **HERE}]})
    ).json()
    assert (batch["applied"], batch["refused"]) == (0, 2)
    assert {error["pointer"] for error in batch["errors"]} == {"/positions/0/driver_id", "/positions/1/driver_id"}
    async with a_fleet_of(installation) as fleet:
        with pytest.raises(DriverNotFound):
            await fleet.update_position(a_position("ghost"))
        result = await fleet.update_positions([a_position("ghost"), a_position("spook")])
        assert (result.accepted, result.refused, result.unregistered) == (0, 2, {"ghost", "spook"})
        with pytest.raises(FleetUnavailable, match="NOT_FOUND"):
            await fleet.register(Driver("ghost", "Ghost"))
        await fleet.update_positions([a_position("ghost")])

    await town.create_order("o-1", CENTRE)

    assert (await becomes(town, "o-1", "MANUAL_DISPATCH"))["reason"] == "no_driver"
    assert (await town.http.get("/api/v1/orders/o-1/candidates")).json()["items"] == []
    around = f"{CENTRE.lng - 1},{CENTRE.lat - 1},{CENTRE.lng + 1},{CENTRE.lat + 1}"
    assert (await town.http.get(DRIVERS, params={"bbox": around})).json()["items"] == []
    assert (await town.http.get(DRIVERS)).json()["items"] == []
    for path in (f"{DRIVERS}/ghost", f"{DRIVERS}/ghost/position"):
        assert problem(await town.http.get(path)) == (404, "no-such-driver")
    assert problem(await town.http.put(f"{DRIVERS}/ghost/duty", json={"on_duty": False})) == (404, "no-such-driver")
    by_hand = await town.http.post(
        "/api/v1/orders/o-1/dispatch", json={"driver_id": "ghost"}, headers={"If-Match": "*"}
    )
    assert problem(by_hand) == (422, "unknown-driver")

    assert (await town.http.put(f"{DRIVERS}/ghost", json={"name": "Casper"})).is_success
    await town.create_order("o-2", CENTRE)
    assert (await becomes(town, "o-2", "DISPATCHED"))["driver_id"] == "ghost"


async def test_the_token_of_a_driver_does_not_register_it(installation: Installation, town: Town) -> None:
    async with a_provider() as provider:
        provider.publish(published(FIRST))

        def by(role: str, name: str) -> dict[str, str]:
            given = token(claims(iss=provider.url, sub=name, roles=[role]))
            return {"Authorization": f"Bearer {given}"}

        staff, driver = by("dispatcher", "dora"), by("driver", "newcomer")
        oidc = {"AUTH": "oidc", "AUTH_ISSUER": provider.url, "AUTH_AUDIENCE": AUDIENCE}
        installation.start(*ROLES, **oidc, **AT_ONCE)
        town.http.headers.update(staff)
        for _ in range(2):
            moved = await town.http.put(f"{DRIVERS}/newcomer/position", json=HERE, headers=driver)
            assert problem(moved) == (404, "no-such-driver")
        await town.create_order("o-1", CENTRE)
        await becomes(town, "o-1", "MANUAL_DISPATCH")
        own = await town.http.put(f"{DRIVERS}/newcomer", json={"name": "Me"}, headers=driver)
        assert problem(own) == (403, "forbidden")

        await town.http.put(f"{DRIVERS}/newcomer", json={"name": "New"})
        moved = await town.http.put(f"{DRIVERS}/newcomer/position", json=HERE, headers=driver)
        assert moved.status_code == 204
        await town.create_order("o-2", CENTRE)
        assert (await becomes(town, "o-2", "DISPATCHED"))["driver_id"] == "newcomer"
        off = await town.http.put(f"{DRIVERS}/newcomer/duty", json={"on_duty": False}, headers=driver)
        assert off.status_code == 200


async def test_a_redis_that_lost_everything_finds_registered_drivers_at_their_next_positions(
    installation: Installation, town: Town, record_property: Any
) -> None:
    installation.start(*ROLES, RECONCILE_SECONDS="3600")
    await town.add_drivers(20)
    await town.http.put(f"{DRIVERS}/driver-001/duty", json={"on_duty": False})
    await forget(installation)
    here = {"positions": [{"driver_id": f"driver-{number:03}", **HERE} for number in range(20)]}

    started = time.monotonic()
    assert (await town.http.post(f"{DRIVERS}/positions", json=here)).json() == {"applied": 20, "older": 0, "refused": 0}
    record_property("seconds", time.monotonic() - started)

    around = f"{CENTRE.lng - 1},{CENTRE.lat - 1},{CENTRE.lng + 1},{CENTRE.lat + 1}"
    shown = (await town.http.get(DRIVERS, params={"bbox": around, "free": "true", "limit": 100})).json()["items"]
    assert sorted(item["id"] for item in shown) == [f"driver-{number:03}" for number in range(20) if number != 1]
    assert shown[0]["name"].startswith("Driver ")
    await town.create_order("o-1", CENTRE)
    await becomes(town, "o-1", "DISPATCHED")


async def test_drivers_of_an_earlier_release_keep_their_orders_and_get_new_ones_if_registered(
    installation: Installation, town: Town, clean_database: str
) -> None:
    """That release made a driver of each position; its index has registered drivers and others."""
    now = str(time.time_ns() // 1_000_000)
    prefix = f"{installation.environment['NAME_PREFIX']}gofleet:"
    with psycopg.connect(clean_database, autocommit=True) as connection:
        connection.execute("insert into drivers (id, name) values ('ana', 'Ana')")
        connection.execute("insert into orders (id, price, tax, final_price) values ('of-ghost', 1, 0, 1)")
        connection.execute(
            "update orders set status = 'DISPATCHED', driver_id = 'ghost', version = 2, dispatched_at = now()"
        )
    redis: Any = a_redis(installation)
    async with redis:
        for number, driver_id in enumerate(("ghost", "spook", "ana")):
            lat = CENTRE.lat + number * 0.001
            old = {"name": driver_id, "on_duty": "1", "lat": lat, "lng": CENTRE.lng, "recorded_at": now}
            await redis.hset(f"{prefix}driver:{driver_id}", mapping=old)
            for index in ("free", "seen"):
                await redis.geoadd(f"{prefix}drivers:{index}", (CENTRE.lng, lat, driver_id))
            await redis.zadd(f"{prefix}drivers:heard", {driver_id: now})
        await redis.set(f"{prefix}drivers:known", 1)
        installation.start(*ROLES, RECONCILE_SECONDS="1")

        await town.create_order("o-1", CENTRE)

        assert (await becomes(town, "o-1", "DISPATCHED"))["driver_id"] == "ana"
        assert (await town.http.post("/api/v1/orders/of-ghost/deliver")).json()["status"] == "DELIVERED"

        async def only_ana() -> bool:
            return await redis.zrange(f"{prefix}drivers:seen", 0, -1) == ["ana"]

        await eventually(only_ana)


def a_redis(installation: Installation) -> Any:
    at = installation.environment
    return redis_client(at["REDIS_HOST"], int(at["REDIS_PORT"]), password=at["REDIS_PASSWORD"])


async def forget(installation: Installation) -> None:
    """Delete all keys of the installation; its Redis has others."""
    async with a_redis(installation) as redis:
        keys = [key async for key in redis.scan_iter(match=f"{installation.environment['NAME_PREFIX']}*", count=1000)]
        await redis.delete(*keys)
