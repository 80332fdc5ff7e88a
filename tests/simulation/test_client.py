"""The simulated city on an unreliable API: it creates nothing twice, and other clients' acts are not its defects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.domain.errors import FleetUnavailable
from gofleet.simulation import client as client_module
from gofleet.simulation.api import RetryingApi, UnexpectedResponse
from gofleet.simulation.city import City
from gofleet.simulation.client import SimulatedClient
from tests.makers import CENTRE
from tests.waiting import eventually

NOW = "2026-01-31T12:00:00Z"


class UnreliableApi:
    """An API in memory with 20 drivers, which loses or refuses a share of its answers after it has acted."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.posted: list[str] = []
        self.number = 0
        self.after_delivery: Callable[[dict[str, Any]], httpx.Response | None] = lambda order: None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.number += 1
        answer = self._act(request)
        match self.number % 5:
            case 1:
                raise httpx.ReadError("lost")
            case 2:
                return httpx.Response(503, headers={"Retry-After": "0"})
            case _:
                return answer

    def _act(self, request: httpx.Request) -> httpx.Response:
        parts = request.url.path.removeprefix("/api/v1/").split("/")
        match request.method, parts:
            case "POST", ["orders"]:
                return self._create(json.loads(request.content))
            case "POST", ["orders", id, "deliver"]:
                order = self.orders[id]
                if (refused := self.after_delivery(order)) is not None:
                    return refused
                order["status"] = "DELIVERED"
                return httpx.Response(200, json=order)
            case "GET", ["orders", id]:
                return httpx.Response(200, json=self.orders[id])
            case "GET", ["orders"]:
                return self._page(int(request.url.params.get("cursor", 0)))
            case _:
                return httpx.Response(200, json={})

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        self.posted.append(body["id"])
        if body["id"] not in self.orders:
            times = {"created_at": NOW, "dispatched_at": NOW}
            self.orders[body["id"]] = {**body, "status": "PENDING", "driver_id": None, **times}
        return httpx.Response(201, json=self.orders[body["id"]])

    def _page(self, first: int) -> httpx.Response:
        found = [order for order in self.orders.values() if order["status"] == "DISPATCHED"]
        free = {f"driver-{number:03}" for number in range(1, 21)} - {order["driver_id"] for order in found}
        for order in self.orders.values():
            if order["status"] == "PENDING" and free:
                order |= {"status": "DISPATCHED", "driver_id": free.pop()}
                found.append(order)
        items, more = found[first : first + 2], len(found) > first + 2
        return httpx.Response(200, json={"items": items, "next_cursor": str(first + 2) if more else None})


class SometimesFleet:
    """A fleet that is unavailable at every other call."""

    def __init__(self) -> None:
        self.calls = 0
        self.drivers: set[str] = set()

    async def update_positions(self, positions: Any) -> None:
        self.calls += 1
        if self.calls % 2:
            raise FleetUnavailable("away")
        assert len(positions) <= 1000
        self.drivers |= {position.driver_id for position in positions}

    async def stream_positions(self, batches: Any) -> None:
        async for batch in batches:
            await self.update_positions(batch)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gofleet.simulation.api.BACKOFF_MIN_SECONDS", 0.001)
    monkeypatch.setattr("gofleet.simulation.api.BACKOFF_MAX_SECONDS", 0.002)
    monkeypatch.setattr(client_module, "POSITION_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(client_module, "POLL_SECONDS", 0.01)


@asynccontextmanager
async def a_city(api: UnreliableApi, orders: int | None, drivers: int = 20) -> AsyncGenerator[SimulatedClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(api), base_url="http://api") as http:
        fleet = cast("GrpcFleet", SometimesFleet())
        yield SimulatedClient(City(CENTRE, 1, drivers), RetryingApi(http), fleet, per_minute=60_000, orders=orders)


async def test_every_order_is_created_once_and_delivered() -> None:
    api = UnreliableApi()
    async with a_city(api, orders=20) as client:
        await client.register_drivers()
        await client.run(asyncio.Event())
        summary = await client.summarize()

    assert len(api.orders) == 20
    assert len(api.posted) > 20  # some were repeated
    assert (summary.created, summary.delivered, summary.lost, summary.good) == (20, 20, 0, True)
    assert client.api.retries.counts.keys() == {"no answer", "unavailable", "fleet unavailable"}


async def test_the_fleet_gets_the_positions_of_2000_drivers() -> None:
    async with a_city(UnreliableApi(), orders=0, drivers=2000) as client:
        await client.register_drivers()

        assert client.registered == 2000
        assert len(cast("SometimesFleet", client.fleet).drivers) == 2000


async def test_an_order_that_another_client_cancelled_is_no_defect() -> None:
    api = UnreliableApi()

    def cancelled(order: dict[str, Any]) -> httpx.Response:
        order["status"] = "CANCELLED"
        return httpx.Response(409, json={"title": "Invalid transition"})

    api.after_delivery = cancelled
    async with a_city(api, orders=3) as client:
        await client.run(asyncio.Event())

    assert {outcome.status for outcome in client.outcomes.values()} == {"CANCELLED"}


async def test_a_refused_delivery_of_a_dispatched_order_is_a_defect() -> None:
    api = UnreliableApi()
    api.after_delivery = lambda order: httpx.Response(409, json={"title": "Invalid transition"})

    async with a_city(api, orders=3) as client:
        with pytest.raises(ExceptionGroup) as caught:
            await client.run(asyncio.Event())

    defect = caught.value.exceptions[0]
    assert isinstance(defect, UnexpectedResponse)
    assert "/deliver: 409" in str(defect)


async def test_a_pause_of_the_whole_machine_ends_in_no_burst_of_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    api, pause = UnreliableApi(), 0.0
    now = client_module.time.monotonic
    monkeypatch.setattr(client_module.time, "monotonic", lambda: now() + pause)
    async with a_city(api, orders=None) as client:
        client.per_minute = 60
        stop = asyncio.Event()
        running = asyncio.create_task(client.run(stop))
        await eventually(lambda: len(client.accepted) == 1)
        pause = 60.0
        await eventually(lambda: len(client.accepted) >= 2)
        stop.set()
        await running

    assert len(client.accepted) <= 4
