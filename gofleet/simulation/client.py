"""Customers who order and couriers who drive, from outside: over HTTP, and the fleet's position stream."""

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
from gofleet.simulation.city import City, Courier
from gofleet.simulation.tally import Ending, Summary, summary
from gofleet.waiting import first_of

PING_SECONDS = 1.0
LOOK_SECONDS = 0.2
AT_ONCE = 20
SETTLE_SECONDS = 60.0
"""After the last order was placed, all must have ended within this; those that have not are lost."""
SETTLED = frozenset({"DELIVERED", "MANUAL_DISPATCH", "CANCELLED"})


@dataclass
class Counts:
    """What the people know so far; `waiting` are orders neither on their way nor ended."""

    created: int = 0
    under_way: int = 0
    delivered: int = 0
    by_hand: int = 0

    @property
    def waiting(self) -> int:
        return self.created - self.under_way - self.delivered - self.by_hand


@dataclass
class SimulatedClient:
    """Everybody in `city`; `http` has the API's base address, `orders` is how many there will be (None = no end)."""

    city: City
    http: httpx.AsyncClient
    fleet: GrpcFleet
    per_minute: float
    orders: int | None = None
    accepted: list[str] = field(default_factory=list[str])
    endings: dict[str, Ending] = field(default_factory=dict[str, Ending])
    under_way: set[str] = field(default_factory=set[str])
    began: float = field(default_factory=time.monotonic)

    async def sign_on(self) -> None:
        """Make every courier known and put them on the map, before the first order."""
        for courier in self.city.couriers.values():
            answer = await self.http.put(f"/api/v1/drivers/{courier.id}", json={"name": courier.name})
            answer.raise_for_status()
        for position in self._positions(self.city.drive(0)):
            await self.fleet.update_position(position)
        self.began = time.monotonic()

    async def live(self, stop: asyncio.Event) -> None:
        """Order, drive and deliver until `stop`; with a limit, until all have ended."""
        async with asyncio.TaskGroup() as group:
            driving = group.create_task(self._ping())
            delivering = group.create_task(self._follow())
            ordering = group.create_task(self._order())
            ending = group.create_task(self._until_settled(ordering))
            await first_of(ending, stop)
            for task in (driving, delivering, ordering, ending):
                task.cancel()

    def counts(self) -> Counts:
        by_hand = sum(ending.status == "MANUAL_DISPATCH" for ending in self.endings.values())
        return Counts(len(self.accepted), len(self.under_way), len(self.endings) - by_hand, by_hand)

    async def told(self) -> Summary:
        """The summary, from what the API says now: about each accepted order if their number was limited, and else
        about those that have not ended, for a long life has many."""
        final = self.orders is not None and len(self.accepted) == self.orders
        endings = {} if final else dict(self.endings)
        asked = [order_id for order_id in self.accepted if order_id not in endings]
        for first in range(0, len(asked), AT_ONCE):
            found = await asyncio.gather(*(self._read(order_id) for order_id in asked[first : first + AT_ONCE]))
            endings |= {str(order["id"]): _ending(order) for order in found if order is not None}
        return summary(self.accepted, endings, time.monotonic() - self.began, final=final)

    async def _order(self) -> None:
        due = time.monotonic()
        while self.orders is None or len(self.accepted) < self.orders:
            price, tax = self.city.price()
            pickup, dropoff = self.city.somewhere(), self.city.somewhere()
            body = {"price": price, "tax": tax, "pickup": _json(pickup), "dropoff": _json(dropoff)}
            answer = await self.http.post("/api/v1/orders", json=body)
            answer.raise_for_status()
            self.accepted.append(str(answer.json()["id"]))
            due += 60 / self.per_minute
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def _follow(self) -> None:
        """Send couriers on their trips and deliver when they arrive; note whom people have to look after."""
        while True:
            for order in await self._list("DISPATCHED"):
                self._set_out(order)
            now = time.monotonic()
            arrived = [c for c in self.city.couriers.values() if c.trip is not None and c.trip.over(now)]
            await asyncio.gather(*(self._deliver(courier) for courier in arrived))
            for order in await self._list("MANUAL_DISPATCH"):
                self.endings[order["id"]] = _ending(order)
            await asyncio.sleep(LOOK_SECONDS)

    def _set_out(self, order: dict[str, Any]) -> None:
        if order["driver_id"] not in self.city.couriers or order["id"] in self.endings:
            return
        pickup = _place(order["pickup"]) or self.city.centre
        dropoff = _place(order["dropoff"]) or self.city.somewhere()
        if self.city.send(order["driver_id"], order["id"], pickup, dropoff, time.monotonic()):
            self.under_way.add(order["id"])

    async def _deliver(self, courier: Courier) -> None:
        trip = courier.trip
        if trip is None:
            return
        answer = await self.http.post(f"/api/v1/orders/{trip.order_id}/deliver")
        courier.place, courier.trip = trip.dropoff, None
        self.under_way.discard(trip.order_id)
        if answer.is_success:
            self.endings[trip.order_id] = _ending(answer.json())

    async def _ping(self) -> None:
        while True:
            try:
                await self.fleet.stream_positions(self._batches())
            except FleetUnavailable:
                await asyncio.sleep(PING_SECONDS)

    async def _batches(self) -> AsyncGenerator[Sequence[Position]]:
        for _ in range(10):  # a stream of ten pings, then its counts are read and a new one begins
            yield self._positions(self.city.drive(time.monotonic()))
            await asyncio.sleep(PING_SECONDS)

    async def _until_settled(self, ordering: asyncio.Task[None]) -> None:
        """Return once nothing is left to wait for."""
        await ordering
        until = time.monotonic() + SETTLE_SECONDS
        while (open_orders := [id for id in self.accepted if id not in self.endings]) and time.monotonic() < until:
            for order_id in open_orders:
                order = await self._read(order_id)
                if order is None or order["status"] in SETTLED:
                    self.endings[order_id] = _ending(order or {"status": "LOST"})
            await asyncio.sleep(LOOK_SECONDS)

    def _positions(self, couriers: Sequence[Courier]) -> list[Position]:
        now = datetime.now(UTC)
        return [Position(courier.id, courier.place, now) for courier in couriers]

    async def _list(self, status: str) -> list[dict[str, Any]]:
        answer = await self.http.get("/api/v1/orders", params={"status": status, "limit": 100})
        answer.raise_for_status()
        return answer.json()["items"]

    async def _read(self, order_id: str) -> dict[str, Any] | None:
        answer = await self.http.get(f"/api/v1/orders/{order_id}")
        return answer.json() if answer.is_success else None


def _ending(order: dict[str, Any]) -> Ending:
    waited = None
    if order.get("dispatched_at"):
        dispatched, created = (datetime.fromisoformat(order[key]) for key in ("dispatched_at", "created_at"))
        waited = (dispatched - created).total_seconds()
    return Ending(order["status"], waited)


def _json(place: Place) -> dict[str, float]:
    return {"lat": place.lat, "lng": place.lng}


def _place(found: dict[str, float] | None) -> Place | None:
    return Place(found["lat"], found["lng"]) if found else None
