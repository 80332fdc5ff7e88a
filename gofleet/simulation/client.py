"""Simulated customers and drivers that use the API over HTTP and send positions over the fleet's gRPC stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.domain.driver import Position
from gofleet.domain.errors import FleetUnavailable
from gofleet.domain.place import Place
from gofleet.simulation.city import City, SimulatedDriver
from gofleet.simulation.summary import OrderOutcome, Summary, summarize_orders
from gofleet.waiting import first_of

POSITION_INTERVAL_SECONDS = 1.0
POLL_SECONDS = 0.2
CONCURRENT_READS_MAX = 20
SETTLE_TIMEOUT_SECONDS = 60.0
"""Time after the last order within which all orders must be final; the others count as lost."""
FINAL_STATUSES = frozenset({"DELIVERED", "MANUAL_DISPATCH", "CANCELLED"})


@dataclass
class Counts:
    """Orders by state; `waiting` are neither under way nor final, `by_hand` are escalated to manual dispatch."""

    created: int = 0
    under_way: int = 0
    delivered: int = 0
    by_hand: int = 0

    @property
    def waiting(self) -> int:
        return self.created - self.under_way - self.delivered - self.by_hand


@dataclass
class SimulatedClient:
    """Customers and drivers of `city`; `http` has the base URL of the API, `orders` None = unlimited."""

    city: City
    http: httpx.AsyncClient
    fleet: GrpcFleet
    per_minute: float
    orders: int | None = None
    accepted: list[str] = field(default_factory=list[str])
    outcomes: dict[str, OrderOutcome] = field(default_factory=dict[str, OrderOutcome])
    under_way: set[str] = field(default_factory=set[str])
    started_at: float = field(default_factory=time.monotonic)

    async def register_drivers(self) -> None:
        """Register every driver and send its position, before the first order."""
        for driver in self.city.drivers.values():
            response = await self.http.put(f"/api/v1/drivers/{driver.id}", json={"name": driver.name})
            response.raise_for_status()
        for position in self._positions(self.city.advance(0)):
            await self.fleet.update_position(position)
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

    def counts(self) -> Counts:
        manual = sum(outcome.status == "MANUAL_DISPATCH" for outcome in self.outcomes.values())
        return Counts(len(self.accepted), len(self.under_way), len(self.outcomes) - manual, manual)

    async def summarize(self) -> Summary:
        """Summary from the API's current state.

        With a limited number of orders all of them are read again; otherwise only those that are not final, because a
        long run has many.
        """
        final = self.orders is not None and len(self.accepted) == self.orders
        outcomes = {} if final else dict(self.outcomes)
        unread = [order_id for order_id in self.accepted if order_id not in outcomes]
        for first in range(0, len(unread), CONCURRENT_READS_MAX):
            batch = unread[first : first + CONCURRENT_READS_MAX]
            orders = await asyncio.gather(*(self._read(order_id) for order_id in batch))
            outcomes |= {str(order["id"]): _outcome(order) for order in orders if order is not None}
        return summarize_orders(self.accepted, outcomes, time.monotonic() - self.started_at, final=final)

    async def _create_orders(self) -> None:
        due = time.monotonic()
        while self.orders is None or len(self.accepted) < self.orders:
            price, tax = self.city.price()
            pickup, dropoff = self.city.random_place(), self.city.random_place()
            body = {"price": price, "tax": tax, "pickup": _to_json(pickup), "dropoff": _to_json(dropoff)}
            response = await self.http.post("/api/v1/orders", json=body)
            response.raise_for_status()
            self.accepted.append(str(response.json()["id"]))
            due += 60 / self.per_minute
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def _deliver_orders(self) -> None:
        """Start trips for dispatched orders, deliver on arrival, and record orders escalated to manual dispatch."""
        while True:
            for order in await self._list("DISPATCHED"):
                self._start_trip(order)
            now = time.monotonic()
            arrived = [d for d in self.city.drivers.values() if d.trip is not None and d.trip.over(now)]
            await asyncio.gather(*(self._deliver(driver) for driver in arrived))
            for order in await self._list("MANUAL_DISPATCH"):
                self.outcomes[order["id"]] = _outcome(order)
            await asyncio.sleep(POLL_SECONDS)

    def _start_trip(self, order: dict[str, Any]) -> None:
        if order["driver_id"] not in self.city.drivers or order["id"] in self.outcomes:
            return
        pickup = _from_json(order["pickup"]) or self.city.centre
        dropoff = _from_json(order["dropoff"]) or self.city.random_place()
        if self.city.start_trip(order["driver_id"], order["id"], pickup, dropoff, time.monotonic()):
            self.under_way.add(order["id"])

    async def _deliver(self, driver: SimulatedDriver) -> None:
        trip = driver.trip
        if trip is None:
            return
        response = await self.http.post(f"/api/v1/orders/{trip.order_id}/deliver")
        driver.place, driver.trip = trip.dropoff, None
        self.under_way.discard(trip.order_id)
        if response.is_success:
            self.outcomes[trip.order_id] = _outcome(response.json())

    async def _send_positions(self) -> None:
        while True:
            try:
                await self.fleet.stream_positions(self._position_batches())
            except FleetUnavailable:
                await asyncio.sleep(POSITION_INTERVAL_SECONDS)

    async def _position_batches(self) -> AsyncGenerator[Sequence[Position]]:
        for _ in range(10):  # the server returns its counts at the end of a stream, so streams are short
            yield self._positions(self.city.advance(time.monotonic()))
            await asyncio.sleep(POSITION_INTERVAL_SECONDS)

    async def _until_settled(self, ordering: asyncio.Task[None]) -> None:
        """Return when all orders are final, or after the timeout."""
        await ordering
        deadline = time.monotonic() + SETTLE_TIMEOUT_SECONDS
        while (open_orders := [id for id in self.accepted if id not in self.outcomes]) and time.monotonic() < deadline:
            for order_id in open_orders:
                order = await self._read(order_id)
                if order is None or order["status"] in FINAL_STATUSES:
                    self.outcomes[order_id] = _outcome(order or {"status": "LOST"})
            await asyncio.sleep(POLL_SECONDS)

    def _positions(self, drivers: Sequence[SimulatedDriver]) -> list[Position]:
        now = datetime.now(UTC)
        return [Position(driver.id, driver.place, now) for driver in drivers]

    async def _list(self, status: str) -> list[dict[str, Any]]:
        response = await self.http.get("/api/v1/orders", params={"status": status, "limit": 100})
        response.raise_for_status()
        return response.json()["items"]

    async def _read(self, order_id: str) -> dict[str, Any] | None:
        response = await self.http.get(f"/api/v1/orders/{order_id}")
        return response.json() if response.is_success else None


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
