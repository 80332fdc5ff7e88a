"""Use cases about drivers: positions, availability, candidates for an order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gofleet.domain.driver import Position, Sighting
from gofleet.domain.errors import Invalid, NoPickup, OrderNotFound
from gofleet.domain.events import AnyOrderEvent, OrderCancelled, OrderDelivered, OrderDispatched, OrderRedispatched
from gofleet.domain.order import Status
from gofleet.domain.place import Place, distance_m
from gofleet.ports import Drivers, Fleet, Holding, Orders, Positions


@dataclass(frozen=True)
class ReconcileDrivers:
    """Use case that reconciles the state of the fleet service with the database; returns the number of corrections.

    Events may be lost with a broker, all positions with Redis, and the last records with PostgreSQL. Every correction
    carries the version of the order or of the record that it replaces, so that it neither overtakes nor repeats a
    change that is in flight.
    """

    orders: Orders
    drivers: Drivers
    positions: Positions
    batch: int

    async def __call__(self) -> int:
        corrected = await self._correct_records()
        known = set(await self.positions.holdings())  # read before the orders: later changes arrive as events
        live = await self._live()
        for missing in live - known:
            await self.positions.occupy(missing.driver_id, missing.order_id, missing.sequence)
        return corrected + len(live - known) + await self._free(sorted(known - live))

    async def _correct_records(self) -> int:
        """Register the drivers whose record has another version, and unregister those without a record."""
        corrected = 0
        async for registered in self.positions.registrations(self.batch):
            records = {driver.id: driver for driver in await self.drivers.get_many(list(registered))}
            changed = [
                (records[id], seen) for id, seen in registered.items() if id in records and records[id].version != seen
            ]
            absent = [(id, seen) for id, seen in registered.items() if id not in records]
            await asyncio.gather(
                *(self.positions.register(record, seen) for record, seen in changed),
                *(self.positions.unregister(driver_id, seen) for driver_id, seen in absent),
            )
            corrected += len(changed) + sum(seen is not None for _, seen in absent)
        return corrected

    async def _live(self) -> set[Holding]:
        live, after = set[Holding](), None
        while page := await self.orders.live(after, self.batch):
            live.update(page)
            after = page[-1]
        return live

    async def _free(self, stale: list[Holding]) -> int:
        freed = 0
        for holding in stale:
            try:
                order = await self.orders.get(holding.order_id)
            except OrderNotFound:  # lost by the database: no driver holds it
                version = holding.sequence
            else:
                if order.status is Status.DISPATCHED and order.driver_id == holding.driver_id:
                    continue  # assigned to the same driver again, or after the live orders were read
                version = max(order.version, holding.sequence)
            await self.positions.free(holding.driver_id, holding.order_id, version)
            freed += 1
        return freed


@dataclass(frozen=True)
class FollowOrders:
    """Use case that marks drivers as busy or free from order events. Late and repeated events are harmless."""

    positions: Positions

    async def __call__(self, event: AnyOrderEvent) -> None:
        match event:
            case OrderDispatched(order_id=order_id, sequence=sequence, driver_id=driver_id):
                await self.positions.occupy(driver_id, order_id, sequence)
            case (
                OrderDelivered(order_id=order_id, sequence=sequence, driver_id=str(driver_id))
                | OrderCancelled(order_id=order_id, sequence=sequence, driver_id=str(driver_id))
                | OrderRedispatched(order_id=order_id, sequence=sequence, driver_id=str(driver_id))
            ):
                await self.positions.free(driver_id, order_id, sequence)
            case _:
                pass


@dataclass(frozen=True)
class UpdatePosition:
    """Use case that stores a driver's position.

    Positions that the driver sends (`own`) must be reachable at `max_kmh`, else `Invalid`: it prevents drivers from
    claiming distant orders. After a wrong fix, true ones become plausible again with time.
    """

    fleet: Fleet
    max_kmh: float

    async def __call__(self, position: Position, *, own: bool = False) -> bool:
        """Whether the position was stored; False if a newer one is known. `DriverNotFound` if it is not registered."""
        if own:
            return await self.fleet.update_own_position(position, self.max_kmh)
        return await self.fleet.update_position(position)


@dataclass(frozen=True)
class FindCandidates:
    """Use case that lists drivers on duty within `radius_km` of the pickup, nearest first, for manual dispatch; or the
    driver of that id alone, wherever it is.

    Without a radius, the initial radius of automatic searches. Drivers are not claimed. `OrderNotFound`, `NoPickup`,
    `Invalid` for `radius_km`, `FleetUnavailable`.
    """

    orders: Orders
    fleet: Fleet
    depot: Place | None
    default_radius_km: float
    max_radius_km: float

    async def __call__(
        self, order_id: str, radius_km: float | None, limit: int, driver_id: str | None = None
    ) -> Sequence[Sighting]:
        radius_km = self.default_radius_km if radius_km is None else radius_km
        if not 0 < radius_km <= self.max_radius_km:
            raise Invalid("radius_km", f"must be above 0 and at most {self.max_radius_km:g}")
        order = await self.orders.get(order_id)
        if (pickup := order.pickup or self.depot) is None:
            raise NoPickup(order_id)
        if driver_id is None:
            return await self.fleet.nearest(pickup, radius_km, limit)
        located = await self.fleet.locate([driver_id])
        return [replace(each, distance_m=distance_m(pickup, each.position.place)) for each in located]
