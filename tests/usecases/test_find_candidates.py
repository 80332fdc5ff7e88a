from __future__ import annotations

import pytest

from gofleet.domain.driver import Sighting
from gofleet.domain.errors import Invalid, NoPickup, OrderNotFound
from gofleet.domain.place import Place
from gofleet.testing.orders import MemoryOrders
from gofleet.usecases.drivers import FindCandidates
from tests.fleets import FakeFleet
from tests.makers import CENTRE, an_order

DEPOT = Place(-23.6, -46.7)


class RecordingFleet(FakeFleet):
    """Fleet that records its arguments."""

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        self.arguments = (place, radius_km, limit)
        return []


async def find(pickup: Place | None, depot: Place | None, radius_km: float | None) -> tuple[Place, float, int]:
    orders, fleet = MemoryOrders(), RecordingFleet()
    await orders.add(an_order("o-1", pickup=pickup))
    await FindCandidates(orders, fleet, depot, default_radius_km=5, max_radius_km=10)("o-1", radius_km, 7)
    return fleet.arguments


async def test_searches_around_the_pickup_or_else_the_depot() -> None:
    assert await find(CENTRE, DEPOT, None) == (CENTRE, 5, 7)
    assert await find(None, DEPOT, 10) == (DEPOT, 10, 7)


async def test_raises_without_a_pickup_and_depot() -> None:
    with pytest.raises(NoPickup):
        await find(None, None, None)


async def test_an_unknown_order_is_not_found() -> None:
    with pytest.raises(OrderNotFound):
        await FindCandidates(MemoryOrders(), RecordingFleet(), DEPOT, 5, 10)("o-1", None, 5)


@pytest.mark.parametrize("radius_km", [0, -1, 10.01, float("nan"), float("inf")])
async def test_rejects_an_invalid_radius(radius_km: float) -> None:
    with pytest.raises(Invalid, match="radius_km"):
        await find(CENTRE, None, radius_km)
