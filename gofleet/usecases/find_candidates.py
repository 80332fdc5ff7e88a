from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gofleet.domain.driver import Sighting
from gofleet.domain.errors import Invalid, NoPickup
from gofleet.domain.place import Place
from gofleet.ports import Fleet, Orders


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
