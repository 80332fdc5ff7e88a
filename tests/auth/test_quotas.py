"""Quotas of a customer: open orders and streams; plausible positions of a driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from gofleet.adapters.http.sse import EventStreamLimits
from tests.auth.matrix import bearing, serving_all, settled
from tests.makers import CENTRE
from tests.roles.conftest import World
from tests.waiting import eventually

OPEN_ORDERS_MAX = 20
"""The value in tests.roles.conftest."""


@pytest.fixture
async def world() -> World:
    world = World(depot=CENTRE, bounds=EventStreamLimits(streams_per_owner_max=2))
    await settled(world)
    return world


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_all(world) as client:
        yield client


async def _order(client: httpx.AsyncClient, id: str, name: str, **more: object) -> httpx.Response:
    return await client.post(
        "/api/v1/orders", json={"id": id, "price": 10.0, "tax": 1.0, **more}, headers=bearing(name)
    )


async def test_the_number_of_a_customers_open_orders_is_bounded(client: httpx.AsyncClient) -> None:
    first = [
        await _order(client, f"mine-{n}", "customer-a") for n in range(OPEN_ORDERS_MAX - 1)
    ]  # one is there already
    assert {answer.status_code for answer in first} == {201}
    refused = await _order(client, "one-more", "customer-a")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/too-many-open-orders")
    again = await _order(client, "mine-0", "customer-a")
    assert (again.status_code, again.json()) == (200, first[0].json())
    other = await _order(client, "mine-0", "customer-a", dropoff={"lat": 1.0, "lng": 1.0})
    assert (other.status_code, other.json()["type"]) == (409, "/problems/order-taken")
    assert (await _order(client, "another's", "customer-b")).status_code == 422  # an apostrophe is in no id
    assert (await _order(client, "anothers", "customer-b")).status_code == 201
    assert (await _order(client, "for-them", "service-s", customer_id="customer-a")).status_code == 201


async def test_a_finished_order_does_not_count(client: httpx.AsyncClient) -> None:
    for number in range(OPEN_ORDERS_MAX - 1):
        assert (await _order(client, f"mine-{number}", "customer-a")).status_code == 201
    assert (await _order(client, "one-more", "customer-a")).status_code == 409
    await client.post("/api/v1/orders/mine-3/cancel", headers=bearing("customer-a"))
    assert (await _order(client, "one-more", "customer-a")).status_code == 201


async def _moved(client: httpx.AsyncClient, name: str, lat: float, seconds: float = 0.0) -> httpx.Response:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    fix = {"lat": lat, "lng": CENTRE.lng, "recorded_at": at.isoformat()}
    return await client.put("/api/v1/drivers/driver-x/position", json=fix, headers=bearing(name))


async def test_a_driver_cannot_move_faster_than_possible(client: httpx.AsyncClient) -> None:
    far = await _moved(client, "driver-x", CENTRE.lat + 1, seconds=2)  # 111 km
    assert far.status_code == 422
    assert far.json()["detail"] == "lat and lng are further from the last position than 200 km/h allows"
    assert (await _moved(client, "driver-x", CENTRE.lat + 0.003, seconds=2)).status_code == 204  # 330 m
    assert (
        await _moved(client, "dispatcher-d", CENTRE.lat + 1, seconds=3)
    ).status_code == 204  # a dispatcher may correct it


async def test_the_number_of_a_customers_streams_is_bounded(client: httpx.AsyncClient) -> None:
    async def opened(stack: AsyncExitStack, name: str) -> int:
        stream = client.stream("GET", "/api/v1/orders/stream", headers=bearing(name))
        return (await stack.enter_async_context(stream)).status_code

    async with AsyncExitStack() as stack:
        assert [await opened(stack, "customer-a") for _ in range(3)] == [200, 200, 429]
        assert await opened(stack, "customer-b") == 200
        assert [await opened(stack, "dispatcher-d") for _ in range(4)] == [200] * 4
    async with AsyncExitStack() as stack:

        async def given_back() -> bool:
            return await opened(stack, "customer-a") == 200

        await eventually(given_back)
