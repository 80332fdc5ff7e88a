"""Simulated customers and drivers that use the API over HTTP and send positions over the fleet's gRPC stream.

They live through every outage: calls are retried, see `gofleet.simulation.api`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.domain.driver import Position
from gofleet.domain.errors import FleetUnavailable
from gofleet.domain.place import Place
from gofleet.simulation.api import RetryingApi, UnexpectedResponse, register_drivers, run_limited
from gofleet.simulation.city import City, SimulatedDriver
from gofleet.simulation.summary import OrderOutcome, Summary, summarize_orders
from gofleet.waiting import first_of

POSITION_INTERVAL_SECONDS = 1.0
POSITION_BATCH = 500
POLL_SECONDS = 0.2
PAGE_SIZE = 100
CATCH_UP_SECONDS = 1.0
"""After a pause the customers make up for at most this long, or every outage would end in a burst of orders."""
SETTLE_TIMEOUT_SECONDS = 60.0
"""Time after the last order within which all orders must be final; the others count as lost."""
SUMMARY_TIMEOUT_SECONDS = 15.0
FINAL_STATUSES = frozenset({"DELIVERED", "MANUAL_DISPATCH", "CANCELLED"})
FLEET_UNAVAILABLE = "fleet unavailable"


@dataclass
class SimulatedClient:
    """Customers and drivers of `city`; `orders` None = unlimited. `registered` counts drivers.

    `accepted` are the ids of its own orders; drivers also deliver the orders of other clients.
    """

    city: City
    api: RetryingApi
    fleet: GrpcFleet
    per_minute: float
    orders: int | None = None
    registered: int = 0
    accepted: list[str] = field(default_factory=list[str])
    outcomes: dict[str, OrderOutcome] = field(default_factory=dict[str, OrderOutcome])
    started_at: float = field(default_factory=time.monotonic)

    async def register_drivers(self) -> None:
        """Register every driver and send its position, before the first order."""

        def count() -> None:
            self.registered += 1

        await register_drivers(self.api, self.city.drivers.values(), count)
        await self._until_fleet_has(self.city.advance(0))
        self.started_at = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Create orders, drive and deliver until `stop`; with a limited number also until all orders are final."""
        async with asyncio.TaskGroup() as group:
            driving = group.create_task(self._send_positions())
            delivering = group.create_task(self._deliver_orders())
            ordering = group.create_task(self._create_orders())
            settled = group.create_task(self._until_settled(ordering))
            await first_of(settled, stop)
            for task in (driving, delivering, ordering, settled):
                task.cancel()

    async def summarize(self) -> Summary:
        """Summary of its own orders from the API's current state; incomplete if the API does not answer in time.

        With a limited number of orders all of them are read again; otherwise only those that are not final, because a
        long run has many.
        """
        final = self.orders is not None and len(self.accepted) == self.orders
        outcomes = {} if final else dict(self.outcomes)
        unread = {order_id for order_id in self.accepted if order_id not in outcomes}

        async def read(order_id: str) -> None:
            if order := await self._read(order_id):
                outcomes[order_id] = _outcome(order)
            unread.discard(order_id)

        with suppress(TimeoutError):
            async with asyncio.timeout(SUMMARY_TIMEOUT_SECONDS):
                await run_limited(read(order_id) for order_id in sorted(unread))
        seconds = time.monotonic() - self.started_at
        return summarize_orders(self.accepted, outcomes, seconds, final=final, unknown=len(unread))

    async def _create_orders(self) -> None:
        due = time.monotonic()
        while self.orders is None or len(self.accepted) < self.orders:
            price, tax = self.city.price()
            pickup, dropoff = self.city.random_place(), self.city.random_place()
            # The id is the client's, so that a repeated request cannot create a second order.
            body = {
                "id": f"city-{uuid4().hex}",
                "price": price,
                "tax": tax,
                "pickup": _to_json(pickup),
                "dropoff": _to_json(dropoff),
            }
            await self.api.request("POST", "/orders", body=body)
            self.accepted.append(str(body["id"]))
            due = max(due + 60 / self.per_minute, time.monotonic() - CATCH_UP_SECONDS)
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def _deliver_orders(self) -> None:
        """Start trips for dispatched orders, and deliver on arrival."""
        while True:
            async for order in self._dispatched():
                self._start_trip(order)
            now = time.monotonic()
            arrived = [d for d in self.city.drivers.values() if d.trip is not None and d.trip.over(now)]
            await run_limited(self._deliver(driver) for driver in arrived)
            await asyncio.sleep(POLL_SECONDS)

    def _start_trip(self, order: dict[str, Any]) -> None:
        if order["driver_id"] in self.city.drivers:
            pickup = _from_json(order["pickup"]) or self.city.centre
            dropoff = _from_json(order["dropoff"]) or self.city.random_place()
            self.city.start_trip(order["driver_id"], order["id"], pickup, dropoff, time.monotonic())

    async def _deliver(self, driver: SimulatedDriver) -> None:
        trip = driver.trip
        if trip is None:
            return
        path = f"/orders/{trip.order_id}"
        response = await self.api.request("POST", f"{path}/deliver", accept=(HTTPStatus.CONFLICT,))
        if not response.is_success:
            order = (await self.api.request("GET", path)).json()
            if order["status"] == "DISPATCHED" and order["driver_id"] == driver.id:
                raise UnexpectedResponse(f"POST {path}/deliver", response)
            # Another client cancelled it, or took it from the driver.
        elif trip.order_id.startswith("city-"):
            self.outcomes[trip.order_id] = _outcome(response.json())
        driver.place, driver.trip = trip.dropoff, None

    async def _send_positions(self) -> None:
        while True:
            try:
                await self.fleet.stream_positions(self._position_batches())
            except FleetUnavailable:
                self.api.retries.record(FLEET_UNAVAILABLE)
                await asyncio.sleep(POSITION_INTERVAL_SECONDS)

    async def _position_batches(self) -> AsyncGenerator[Sequence[Position]]:
        for _ in range(10):  # the server returns its counts at the end of a stream, so streams are short
            for batch in _batches(self.city.advance(time.monotonic())):
                yield batch
            await asyncio.sleep(POSITION_INTERVAL_SECONDS)

    async def _until_fleet_has(self, drivers: Sequence[SimulatedDriver]) -> None:
        for batch in _batches(drivers):
            while True:
                try:
                    await self.fleet.update_positions(batch)
                    break
                except FleetUnavailable:
                    self.api.retries.record(FLEET_UNAVAILABLE)
                    await asyncio.sleep(POSITION_INTERVAL_SECONDS)

    async def _until_settled(self, ordering: asyncio.Task[None]) -> None:
        """Return when all its orders are final, or after the timeout."""
        await ordering
        deadline = time.monotonic() + SETTLE_TIMEOUT_SECONDS
        while (open_orders := [id for id in self.accepted if id not in self.outcomes]) and time.monotonic() < deadline:
            for order_id in open_orders:
                order = await self._read(order_id)
                if order is None or order["status"] in FINAL_STATUSES:
                    self.outcomes[order_id] = _outcome(order or {"status": "LOST"})
            await asyncio.sleep(POLL_SECONDS)

    async def _dispatched(self) -> AsyncGenerator[dict[str, Any]]:
        """All dispatched orders, page by page."""
        query = {"status": "DISPATCHED", "limit": str(PAGE_SIZE)}
        while True:
            page = (await self.api.request("GET", "/orders", query=query)).json()
            for order in page["items"]:
                yield order
            if (cursor := page["next_cursor"]) is None:
                return
            query["cursor"] = cursor

    async def _read(self, order_id: str) -> dict[str, Any] | None:
        response = await self.api.request("GET", f"/orders/{order_id}", accept=(HTTPStatus.NOT_FOUND,))
        return response.json() if response.is_success else None


def _batches(drivers: Sequence[SimulatedDriver]) -> Iterator[list[Position]]:
    now = datetime.now(UTC)
    positions = [Position(driver.id, driver.place, now) for driver in drivers]
    for first in range(0, len(positions), POSITION_BATCH):
        yield positions[first : first + POSITION_BATCH]


def _outcome(order: dict[str, Any]) -> OrderOutcome:
    waited = None
    if order.get("dispatched_at"):
        dispatched, created = (datetime.fromisoformat(order[key]) for key in ("dispatched_at", "created_at"))
        waited = (dispatched - created).total_seconds()
    return OrderOutcome(order["status"], waited)


def _to_json(place: Place) -> dict[str, float]:
    return {"lat": place.lat, "lng": place.lng}


def _from_json(place: dict[str, float] | None) -> Place | None:
    return Place(place["lat"], place["lng"]) if place else None
