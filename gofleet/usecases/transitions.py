"""How a person or another system moves an order: read, move, save, and again if somebody was faster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gofleet.domain.errors import DriverNotFound, OrderNotFound, StaleOrder, UnknownDriver, VersionMismatch
from gofleet.domain.order import Order, Owner, Status
from gofleet.domain.principal import Actor
from gofleet.ports import Drivers, Orders

ATTEMPTS_MAX = 5
"""An order has five states and few moves: losing this many races in a row means something else is wrong."""

Versions = frozenset[int] | None
"""The versions that the caller has seen and means; None = whichever it is."""


class Transition(Protocol):
    """Such as `Order.cancel`."""

    def __call__(self, order: Order, /, *, by: Actor) -> None: ...


async def transition_order(
    orders: Orders,
    order_id: str,
    verb: Transition,
    *,
    by: Actor,
    done: Callable[[Order], bool],
    versions: Versions = None,
    owner: Owner | None = None,
) -> Order:
    """The order after `verb`, or as it stands if that was `done` before, whatever versions the caller has seen:
    who did not hear our answer asks again. An order that is not the owner's is none.

    `OrderNotFound`, `VersionMismatch`, `InvalidTransition`, `StaleOrder`."""
    for tries_left in reversed(range(ATTEMPTS_MAX)):
        order = await orders.get(order_id)
        if not order.is_of(owner):
            raise OrderNotFound(order_id)
        if done(order):
            return order
        if versions is not None and order.version not in versions:
            raise VersionMismatch(f"order {order_id}", order.version)
        verb(order, by=by)
        try:
            await orders.save(order)
        except StaleOrder:
            if not tries_left:
                raise
            continue
        return order
    raise AssertionError("unreachable: the last try returns or raises")


@dataclass(frozen=True)
class CancelOrder:
    """Call the delivery off; a driver on the way is free again. Cancelling twice is cancelling once."""

    orders: Orders

    async def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Order:
        return await transition_order(
            self.orders, order_id, Order.cancel, by=by, done=_is_cancelled, versions=versions, owner=owner
        )


def _is_cancelled(order: Order) -> bool:
    return order.status is Status.CANCELLED


@dataclass(frozen=True)
class DeliverOrder:
    """The driver handed it over and is free again. Delivering twice is delivering once."""

    orders: Orders

    async def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Order:
        return await transition_order(
            self.orders, order_id, Order.deliver, by=by, done=_is_delivered, versions=versions, owner=owner
        )


def _is_delivered(order: Order) -> bool:
    return order.status is Status.DELIVERED


@dataclass(frozen=True)
class RedispatchOrder:
    """Let the workers try again; a driver who was on the way is free again. What waits already goes on waiting."""

    orders: Orders

    async def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Order:
        return await transition_order(
            self.orders, order_id, Order.redispatch, by=by, done=_is_waiting, versions=versions, owner=owner
        )


def _is_waiting(order: Order) -> bool:
    return order.status is Status.PENDING


@dataclass(frozen=True)
class DispatchManually:
    """A person gives a waiting order to a driver of their choice, on duty or not, near or far: they know better.

    `versions` says what that person saw, so that nobody decides about an order that has changed meanwhile.
    `UnknownDriver` for one who has no record, `DriverBusy` for one who holds a live order.
    """

    orders: Orders
    drivers: Drivers

    async def __call__(self, order_id: str, driver_id: str, versions: Versions, *, by: Actor) -> Order:
        try:
            await self.drivers.get(driver_id)
        except DriverNotFound as error:
            raise UnknownDriver(driver_id) from error

        def give(order: Order, /, *, by: Actor) -> None:
            order.dispatch(driver_id, by=by)

        def is_given(order: Order) -> bool:
            return order.status is Status.DISPATCHED and order.driver_id == driver_id

        return await transition_order(self.orders, order_id, give, by=by, done=is_given, versions=versions)
