"""Reconciliation of drivers, in memory."""

from __future__ import annotations

from gofleet.domain.driver import Driver
from gofleet.domain.order import Order, Status
from gofleet.domain.principal import CLIENT
from gofleet.ports import Holding, Search
from gofleet.testing.drivers import MemoryDrivers
from gofleet.testing.orders import MemoryOrders
from gofleet.testing.positions import MemoryPositions
from gofleet.usecases.drivers import ReconcileDrivers
from gofleet.usecases.transitions import Transition
from tests.makers import CENTRE, a_position, an_order, dispatch_to, on_the_map


def reconciling(
    orders: MemoryOrders, positions: MemoryPositions, drivers: MemoryDrivers | None = None
) -> ReconcileDrivers:
    return ReconcileDrivers(orders, drivers or MemoryDrivers(), positions, batch=2)


async def dispatched(orders: MemoryOrders, order_id: str, driver_id: str) -> None:
    await orders.add(an_order(order_id))
    await moved(orders, order_id, dispatch_to(driver_id))


async def moved(orders: MemoryOrders, order_id: str, move: Transition) -> None:
    order = await orders.get(order_id)
    move(order, by=CLIENT)
    await orders.save(order)


async def test_marks_drivers_of_live_orders_busy_after_a_loss() -> None:
    orders, positions = MemoryOrders(), MemoryPositions()
    for number in range(5):
        await dispatched(orders, f"o-{number}", f"driver-{number}")
    await on_the_map(positions, [a_position("driver-3")])

    await reconciling(orders, positions)()

    assert {holding.order_id for holding in await positions.holdings()} == {f"o-{number}" for number in range(5)}
    assert await positions.claim_nearest(Search("o-9", CENTRE, 5)) == []
    assert await reconciling(orders, positions)() == 0


async def test_frees_a_driver_whose_final_event_was_lost() -> None:
    orders, positions = MemoryOrders(), MemoryPositions()
    await dispatched(orders, "o-1", "ana")
    await positions.occupy("ana", "o-1", 2)
    await moved(orders, "o-1", Order.deliver)

    assert await reconciling(orders, positions)() == 1

    assert await positions.holdings() == []
    await positions.occupy("ana", "o-1", 2)  # a late event
    assert await positions.holdings() == []


async def test_frees_the_driver_of_an_order_that_the_database_lost() -> None:
    positions = MemoryPositions()
    await positions.occupy("ana", "o-1", 2)

    assert await reconciling(MemoryOrders(), positions)() == 1
    assert await positions.holdings() == []


async def test_frees_only_the_former_driver_of_a_reassigned_order() -> None:
    orders, positions = MemoryOrders(), MemoryPositions()
    await dispatched(orders, "o-1", "ana")
    await positions.occupy("ana", "o-1", 2)
    await moved(orders, "o-1", Order.redispatch)
    await moved(orders, "o-1", dispatch_to("bia"))

    await reconciling(orders, positions)()

    assert await positions.holdings() == [Holding("bia", "o-1", 4)]


async def test_keeps_an_order_assigned_to_the_same_driver_again() -> None:
    orders, positions = MemoryOrders(), MemoryPositions()
    await dispatched(orders, "o-1", "ana")
    await positions.occupy("ana", "o-1", 2)
    await moved(orders, "o-1", Order.redispatch)
    await moved(orders, "o-1", dispatch_to("ana"))

    await reconciling(orders, positions)()

    assert [(holding.driver_id, holding.order_id) for holding in await positions.holdings()] == [("ana", "o-1")]
    assert (await orders.get("o-1")).status is Status.DISPATCHED


async def test_registers_drivers_that_send_positions_as_their_records_say() -> None:
    drivers, positions = MemoryDrivers(), MemoryPositions()
    for number in range(5):
        await drivers.put(Driver(f"driver-{number}", f"Driver {number}", on_duty=number != 3))
    await positions.update_positions([a_position(f"driver-{number}") for number in range(6)])

    assert await reconciling(MemoryOrders(), positions, drivers)() == 5

    assert await found(positions) == ["Driver 0", "Driver 1", "Driver 2", "Driver 4"]
    assert await reconciling(MemoryOrders(), positions, drivers)() == 0


async def test_corrects_records_that_have_another_version() -> None:
    drivers, positions = MemoryDrivers(), MemoryPositions()
    for name in ("Ana", "Bia", "Cai"):
        await positions.register(await drivers.put(Driver(name.lower(), name)))
    await positions.update_positions([a_position("ana"), a_position("bia"), a_position("cai")])
    await drivers.put(Driver("ana", "Ana", on_duty=False))  # the fleet was unavailable
    await positions.register(Driver("bia", "Bia", on_duty=False, version=2))  # which the database has lost
    del drivers.rows["cai"]

    assert await reconciling(MemoryOrders(), positions, drivers)() == 3

    assert await found(positions) == ["Bia"]
    assert await positions.locate(["cai"]) == []
    assert await reconciling(MemoryOrders(), positions, drivers)() == 0


async def found(positions: MemoryPositions) -> list[str]:
    candidates = await positions.claim_nearest(Search("o-1", CENTRE, 5, limit=10))
    return sorted(candidate.name for candidate in candidates)
