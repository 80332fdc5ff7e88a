from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gofleet.domain.driver import DriverFilter, Position, Sighting
from gofleet.domain.errors import Invalid, NoPickup, OrderNotFound
from gofleet.domain.events import AnyOrderEvent, OrderCancelled, OrderDelivered, OrderDispatched, OrderRedispatched
from gofleet.domain.order import Status
from gofleet.domain.place import Place
from gofleet.ports import Drivers, Fleet, Holding, Orders, Positions


@dataclass(frozen=True)
class ReconcileDrivers:
    """Compare what the fleet knows of its drivers with the database, and mend it; returns how much was mended.

    News of orders may be lost together with a broker, and all that is known together with Redis. Everything told here
    carries the order's version, so that news which is on its way meanwhile is neither overtaken nor repeated.
    """

    orders: Orders
    drivers: Drivers
    positions: Positions
    batch: int

    async def __call__(self) -> int:
        registered = 0 if await self.positions.is_initialized() else await self._register_all()
        known = set(await self.positions.holdings())  # before the orders are read: what comes in between is news
        live = await self._live()
        for missing in live - known:
            await self.positions.occupy(missing.driver_id, missing.order_id, missing.sequence)
        return registered + len(live - known) + await self._free(sorted(known - live))

    async def _register_all(self) -> int:
        """Names and duty of all drivers: one who is off duty must not look free for having been forgotten."""
        registered, after = 0, ""
        while page := await self.drivers.list(DriverFilter(after), self.batch):
            for driver in page:
                await self.positions.register(driver)
            registered, after = registered + len(page), page[-1].id
        await self.positions.mark_initialized()
        return registered

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
            except OrderNotFound:  # lost by the database: nobody holds it
                version = holding.sequence
            else:
                if order.status is Status.DISPATCHED and order.driver_id == holding.driver_id:
                    continue  # given again to the same driver, or since the live orders were read
                version = max(order.version, holding.sequence)
            await self.positions.free(holding.driver_id, holding.order_id, version)
            freed += 1
        return freed


@dataclass(frozen=True)
class FollowOrders:
    """Learn from the news about an order whether its driver is busy or free. Late and repeated news do no harm."""

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
    """Take a driver's fix. Told by the driver, it must be somewhere that can be reached from the last one at
    `fastest_kmh`: who claims to be elsewhere, to be given an order there, is not believed (`Invalid`). After a fix that
    was wrong, time makes the true ones believable again."""

    fleet: Fleet
    fastest_kmh: float

    async def __call__(self, position: Position, *, own: bool = False) -> bool:
        """False = older than what is known."""
        if own:
            for seen in await self.fleet.locate([position.driver_id]):
                if position.exceeds_speed(seen.position, self.fastest_kmh):
                    why = f"and lng are further from the last fix than {self.fastest_kmh:g} km/h would bring anybody"
                    raise Invalid("lat", why)
        return await self.fleet.update_position(position)


@dataclass(frozen=True)
class FindCandidates:
    """Who could be given the order by a person: those on duty within `radius_km` of its pickup, nearest first.

    Without a radius it is the one that searches begin with. Nobody is claimed. `OrderNotFound`, `NoPickup`, `Invalid`
    about `radius_km`, `FleetUnavailable`.
    """

    orders: Orders
    fleet: Fleet
    depot: Place | None
    default_radius_km: float
    max_radius_km: float

    async def __call__(self, order_id: str, radius_km: float | None, limit: int) -> Sequence[Sighting]:
        radius_km = self.default_radius_km if radius_km is None else radius_km
        if not 0 < radius_km <= self.max_radius_km:
            raise Invalid("radius_km", f"must be above 0 and at most {self.max_radius_km:g}")
        order = await self.orders.get(order_id)
        if (pickup := order.pickup or self.depot) is None:
            raise NoPickup(order_id)
        return await self.fleet.nearest(pickup, radius_km, limit)
