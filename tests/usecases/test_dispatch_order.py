"""Automatic dispatch, in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import pytest

from gofleet.domain.driver import Candidate, Driver, Position
from gofleet.domain.errors import AlreadyHandled, NoDriverNearby
from gofleet.domain.events import Coordinates, OrderCreated
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Owner, Reason, Status
from gofleet.domain.place import Place
from gofleet.domain.principal import CLIENT
from gofleet.ports import Search
from gofleet.testing.orders import MemoryOrders
from gofleet.testing.outbox import MemoryInbox
from gofleet.usecases.dispatch_order import DispatchOrder, SearchRadius, SendToManual
from gofleet.usecases.transitions import CancelOrder, RedispatchOrder
from tests.makers import CENTRE, an_order

RECEIPT = Receipt("dispatch", "e-1")
NEARBY = Place(-23.56, -46.64)


@dataclass
class FleetOf:
    """Fleet of drivers at the pickup; `meanwhile` runs during the search."""

    drivers: tuple[str, ...]
    meanwhile: Callable[[], Awaitable[object]] | None = None
    searches: list[Search] = field(default_factory=list[Search])

    async def search(self, search: Search) -> list[Candidate]:
        self.searches.append(search)
        if self.meanwhile is not None:
            await self.meanwhile()
        free = [driver for driver in self.drivers if driver not in search.exclude][: search.limit]
        return [Candidate(driver, driver.title(), search.pickup, 0.0) for driver in free]

    async def register(self, driver: Driver) -> None: ...
    async def update_position(self, position: Position) -> bool:
        return True


def dispatching(orders: MemoryOrders, fleet: FleetOf, depot: Place | None = CENTRE) -> DispatchOrder:
    return DispatchOrder(orders, MemoryInbox(orders), fleet, SearchRadius(5, 10, patience_seconds=4), depot)


async def test_assigns_the_first_driver_found() -> None:
    orders = MemoryOrders()
    await orders.add(an_order("o-1"))

    await dispatching(orders, FleetOf(("ana", "bia")))("o-1", RECEIPT)

    order = await orders.get("o-1")
    assert (order.status, order.driver_id) == (Status.DISPATCHED, "ana")
    assert orders.inbox[RECEIPT] == "dispatched"


@dataclass
class UnreadOrders(MemoryOrders):
    """Counts the reads of orders."""

    reads: int = 0

    async def get(self, order_id: str, owner: Owner | None = None) -> Order:
        self.reads += 1
        return await super().get(order_id, owner)


def announcement(order: Order) -> OrderCreated:
    (event,) = order.pending_events
    assert isinstance(event, OrderCreated)
    return event


async def test_an_announced_order_is_dispatched_without_being_read() -> None:
    orders, fleet, order = UnreadOrders(), FleetOf(("ana",)), an_order("o-1", pickup=NEARBY)
    announced = announcement(order)
    await orders.add(order)

    await dispatching(orders, fleet)("o-1", RECEIPT, announced)

    assert orders.reads == 0
    assert [(search.pickup, search.radius_km) for search in fleet.searches] == [(NEARBY, 5)]
    stored = await orders.get("o-1")
    assert (stored.status, stored.driver_id, stored.version) == (Status.DISPATCHED, "ana", 2)
    assert (stored.pickup, stored.price) == (order.pickup, order.price)
    assert orders.inbox[RECEIPT] == "dispatched"


async def test_an_announced_order_that_moved_meanwhile_is_read() -> None:
    """Whatever its event says: the order keeps its cancellation, and a redispatched one gets no excluded driver."""
    orders, fleet = UnreadOrders(), FleetOf(("ana", "bia"))
    dispatch = dispatching(orders, fleet)
    cancelled, redispatched = an_order("o-1"), an_order("o-2")
    events = announcement(cancelled), announcement(redispatched)
    for order in (cancelled, redispatched):
        await orders.add(order)
    await CancelOrder(orders)("o-1", by=CLIENT)
    await dispatch("o-2", Receipt("dispatch", "e-0"))
    await RedispatchOrder(orders, exclusion_seconds=600)("o-2", by=CLIENT)

    for number, event in enumerate(events, 1):
        await dispatch(f"o-{number}", Receipt("dispatch", f"e-{number}"), event)

    assert (await orders.get("o-1")).status is Status.CANCELLED
    assert orders.inbox[Receipt("dispatch", "e-1")] == "skipped:cancelled"
    assert (await orders.get("o-2")).driver_id == "bia"


async def test_an_announced_order_whose_nearest_driver_is_busy_is_read() -> None:
    orders, fleet = UnreadOrders(), FleetOf(("ana", "bia"))
    dispatch = dispatching(orders, fleet)
    for number in (1, 2):
        order = an_order(f"o-{number}")
        announced = announcement(order)
        await orders.add(order)
        await dispatch(f"o-{number}", Receipt("dispatch", f"e-{number}"), announced)

    assert orders.reads == 1
    assert (await orders.get("o-2")).driver_id == "bia"


@pytest.mark.parametrize("pickup", [None, Place(86.0, 0.0), Place(0.0, 0.0)])
async def test_an_announcement_that_does_not_tell_where_to_search_is_not_used(pickup: Place | None) -> None:
    """Any publisher may have sent the message: the order's own pickup decides, or that there is none."""
    orders, fleet, order = UnreadOrders(), FleetOf(("ana",)), an_order("o-1", pickup=NEARBY)
    place = pickup and Coordinates(pickup.lat, pickup.lng)
    announced = msgspec.structs.replace(announcement(order), pickup=place)
    await orders.add(order)

    await dispatching(orders, fleet, depot=None)("o-1", RECEIPT, announced)

    assert orders.reads == 1
    assert [search.pickup for search in fleet.searches] == [NEARBY]


async def test_without_a_driver_nearby_an_announced_order_is_read_for_how_long_it_has_waited() -> None:
    orders, fleet, order = UnreadOrders(), FleetOf(()), an_order("o-1")
    announced = announcement(order)
    await orders.add(order)

    with pytest.raises(NoDriverNearby):
        await dispatching(orders, fleet)("o-1", RECEIPT, announced)

    assert orders.reads == 1


async def test_skips_a_busy_driver() -> None:
    orders = MemoryOrders()
    dispatch = dispatching(orders, FleetOf(("ana", "bia")))
    for number in (1, 2):
        await orders.add(an_order(f"o-{number}"))
        await dispatch(f"o-{number}", Receipt("dispatch", f"e-{number}"))

    assert (await orders.get("o-2")).driver_id == "bia"


async def test_finds_a_free_driver_behind_many_busy_ones() -> None:
    orders = MemoryOrders()
    drivers = tuple(f"driver-{number}" for number in range(12))
    dispatch = dispatching(orders, FleetOf(drivers))
    for number in range(12):
        await orders.add(an_order(f"o-{number}"))
        await dispatch(f"o-{number}", Receipt("dispatch", f"e-{number}"))

    assert [(await orders.get(f"o-{number}")).driver_id for number in range(12)] == list(drivers)


async def test_requests_more_drivers_only_after_the_nearest_was_busy() -> None:
    orders, fleet = MemoryOrders(), FleetOf(("ana", "bia", "cleo"))
    dispatch = dispatching(orders, fleet)
    for number in range(3):
        await orders.add(an_order(f"o-{number}"))
        await dispatch(f"o-{number}", Receipt("dispatch", f"e-{number}"))

    searches = [(search.limit, search.exclude) for search in fleet.searches]
    assert searches == [(1, ()), (1, ()), (5, ("ana",)), (1, ()), (5, ("ana",))]


async def test_passes_over_excluded_drivers_in_every_search() -> None:
    orders, fleet = MemoryOrders(), FleetOf(("ana", "bia", "cleo"))
    dispatch = dispatching(orders, fleet)
    await orders.add(an_order("o-1"))
    for number, driver_id in enumerate(("ana", "bia", "cleo")):
        await dispatch("o-1", Receipt("dispatch", f"e-{number}"))
        assert (await orders.get("o-1")).driver_id == driver_id
        await RedispatchOrder(orders, exclusion_seconds=600)("o-1", by=CLIENT)

    with pytest.raises(NoDriverNearby):
        await dispatch("o-1", Receipt("dispatch", "e-3"))

    assert [search.exclude for search in fleet.searches] == [(), ("ana",), ("bia", "ana"), ("cleo", "bia", "ana")]


async def test_passes_over_a_driver_that_only_the_store_knows_as_excluded() -> None:
    """As when the search is answered from an older read."""

    class Forgetful(MemoryOrders):
        async def excluded_drivers(self, order_id: str, limit: int) -> list[str]:
            return []

    orders, fleet = Forgetful(), FleetOf(("ana", "bia"))
    await orders.add(an_order("o-1"))
    await dispatching(orders, fleet)("o-1", RECEIPT)
    await RedispatchOrder(orders, exclusion_seconds=600)("o-1", by=CLIENT)

    order = await dispatching(orders, fleet)("o-1", Receipt("dispatch", "e-2"))

    assert order.driver_id == "bia"


async def test_without_a_driver_the_order_keeps_waiting() -> None:
    orders = MemoryOrders()
    await orders.add(an_order("o-1"))

    with pytest.raises(NoDriverNearby):
        await dispatching(orders, FleetOf(()))("o-1", RECEIPT)

    assert (await orders.get("o-1")).version == 1
    assert orders.inbox == {}


async def test_an_order_cancelled_during_the_search_stays_cancelled() -> None:
    orders = MemoryOrders()
    await orders.add(an_order("o-1"))

    async def cancel() -> None:
        order = await orders.get("o-1")
        order.cancel(by=CLIENT)
        await orders.save(order)

    order = await dispatching(orders, FleetOf(("ana",), meanwhile=cancel))("o-1", RECEIPT)

    assert order.status is Status.CANCELLED
    assert orders.inbox[RECEIPT] == "skipped:cancelled"


async def test_an_order_that_does_not_wait_is_recorded_as_skipped() -> None:
    orders, fleet = MemoryOrders(), FleetOf(("ana",))
    await orders.add(an_order("o-1"))
    await dispatching(orders, fleet)("o-1", RECEIPT)

    await dispatching(orders, fleet)("o-1", Receipt("dispatch", "e-2"))

    assert len(fleet.searches) == 1
    assert orders.inbox[Receipt("dispatch", "e-2")] == "skipped:dispatched"


async def test_a_repeated_event_does_not_dispatch_a_redispatched_order() -> None:
    orders = MemoryOrders()
    await orders.add(an_order("o-1"))
    dispatch = dispatching(orders, FleetOf(("ana",)))
    await dispatch("o-1", RECEIPT)
    order = await orders.get("o-1")
    order.redispatch(by=CLIENT)
    await orders.save(order)

    with pytest.raises(AlreadyHandled):
        await dispatch("o-1", RECEIPT)

    assert (await orders.get("o-1")).status is Status.PENDING


async def test_uses_the_depot_without_a_pickup() -> None:
    orders, fleet = MemoryOrders(), FleetOf(("ana",))
    await orders.add(an_order("o-1", pickup=None))

    await dispatching(orders, fleet, depot=Place(1, 2))("o-1", RECEIPT)

    assert fleet.searches[0].pickup == Place(1, 2)


async def test_escalates_without_a_pickup_and_depot() -> None:
    orders, fleet = MemoryOrders(), FleetOf(("ana",))
    await orders.add(an_order("o-1", pickup=None))

    await dispatching(orders, fleet, depot=None)("o-1", RECEIPT)

    order = await orders.get("o-1")
    assert (order.status, order.reason, fleet.searches) == (Status.MANUAL_DISPATCH, Reason.NO_PICKUP, [])


async def test_does_not_escalate_an_order_that_does_not_wait() -> None:
    orders = MemoryOrders()
    await orders.add(an_order("o-1"))
    await dispatching(orders, FleetOf(("ana",)))("o-1", RECEIPT)

    order = await SendToManual(orders, MemoryInbox(orders))("o-1", Reason.NO_DRIVER, Receipt("dispatch", "e-2"))

    assert order.status is Status.DISPATCHED


@pytest.mark.parametrize(("waited", "radius"), [(0, 5), (2, 7.5), (4, 10), (400, 10)])
def test_the_radius_grows_with_the_waiting_time(waited: float, radius: float) -> None:
    assert SearchRadius(5, 10, 4).after(waited) == radius


def test_without_patience_the_radius_is_the_maximum() -> None:
    assert SearchRadius(5, 10, 0).after(0) == 10
