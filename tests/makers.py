"""Builders of orders, positions and transitions for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from gofleet.domain.driver import Driver, Position, PositionOutcome
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.order_data import Item
from gofleet.domain.place import Place
from gofleet.domain.principal import CLIENT, WORKER, Actor
from gofleet.ports import Positions
from gofleet.usecases.transitions import Transition

CENTRE = Place(-23.5505, -46.6333)


def an_order(
    id: str | None = "o-1",
    status: Status = Status.PENDING,
    *,
    price: str = "100",
    tax: str = "10",
    pickup: Place | None = CENTRE,
    driver_id: str = "ana",
    customer_id: str | None = None,
    client_order_id: str | None = None,
    reference: str | None = None,
    items: Sequence[Item] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Order:
    """An unsaved order, brought to `status` by its own transitions."""
    order = Order.create(
        id,
        Decimal(price),
        Decimal(tax),
        by=CLIENT,
        pickup=pickup,
        customer_id=customer_id,
        client_order_id=client_order_id,
        reference=reference,
        items=items,
        metadata=metadata,
    )
    if status in {Status.DISPATCHED, Status.DELIVERED}:
        order.dispatch(driver_id, by=WORKER)
    if status is Status.DELIVERED:
        order.deliver(by=CLIENT)
    if status is Status.MANUAL_DISPATCH:
        order.send_to_manual(Reason.NO_DRIVER, by=WORKER)
    if status is Status.CANCELLED:
        order.cancel(by=CLIENT)
    return order


def dispatch_to(driver_id: str) -> Transition:
    """The transition that dispatches an order to that driver, as `Order.cancel` cancels it."""

    def dispatch(order: Order, /, *, by: Actor) -> None:
        order.dispatch(driver_id, by=by)

    return dispatch


def escalate(order: Order, /, *, by: Actor) -> None:
    order.send_to_manual(Reason.NO_DRIVER, by=by)


def a_position(
    driver_id: str = "ana", *, near: Place = CENTRE, metres_north: float = 0, age_seconds: float = 0
) -> Position:
    """A position of `driver_id`, some metres north of `near` (a degree of latitude is 111,195 m)."""
    place = Place(near.lat + metres_north / 111_195, near.lng)
    return Position(driver_id, place, datetime.now(UTC) - timedelta(seconds=age_seconds))


def in_status(status: Status) -> Callable[[Order], bool]:
    """Whether an order is in that status, for `transition_order`."""
    return lambda order: order.status is status


async def on_the_map(positions: Positions, fixes: Sequence[Position]) -> None:
    """Send positions; drivers among them that are not registered are then, each named by its id."""
    outcomes = await positions.update_positions(fixes)
    unknown = [fix.driver_id for fix, it in zip(fixes, outcomes, strict=True) if it is PositionOutcome.UNREGISTERED]
    for driver_id in dict.fromkeys(unknown):
        await positions.register(Driver(driver_id, driver_id))
