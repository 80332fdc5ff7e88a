"""Transitions and changes of an order requested through the API: read, apply, save, and retry after a lost race."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from gofleet.domain.errors import DriverNotFound, StaleOrder, TooManyChanges, UnknownDriver, VersionMismatch
from gofleet.domain.order import Order, Owner, Status
from gofleet.domain.principal import Actor
from gofleet.ports import Drivers, Orders

ATTEMPTS_MAX = 5
"""An order has five states and few transitions: losing more races in a row indicates another fault."""

Versions = frozenset[int] | None
"""Versions for which the request is valid; None = any."""


CHANGE_SECONDS = 1.0
"""Least time between two changes of an order's data. Each makes a worker's save stale, which then reads the order
again: without a bound a client could keep its order from being dispatched."""


class Transition(Protocol):
    """Method of `Order` such as `Order.cancel`."""

    def __call__(self, order: Order, /, *, by: Actor) -> None: ...


async def transition_order(
    orders: Orders,
    order_id: str,
    transition: Transition,
    *,
    by: Actor,
    done: Callable[[Order], bool],
    versions: Versions = None,
    owner: Owner | None = None,
    save: Callable[[Order], Awaitable[None]] | None = None,
) -> Order:
    """Apply `transition` and save (by `save`, `orders.save` by default); returns the order.

    An order for which `done` is already true is returned unchanged, whatever `versions` says: a client that did not
    receive our response repeats its request. An order of another owner is not found, its own one under either id.
    `OrderNotFound`, `VersionMismatch`, `InvalidTransition`, `StaleOrder`.
    """
    for attempts_left in reversed(range(ATTEMPTS_MAX)):
        order = await orders.get(order_id, owner)
        if done(order):
            return order
        if versions is not None and order.version not in versions:
            raise VersionMismatch(f"order {order_id}", order.version)
        transition(order, by=by)
        try:
            await (save or orders.save)(order)
        except StaleOrder:
            if not attempts_left:
                raise
            continue
        return order
    raise AssertionError("unreachable: the last attempt returns or raises")


@dataclass(frozen=True)
class CancelOrder:
    """Use case that cancels an order and frees its driver. Idempotent."""

    orders: Orders

    async def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Order:
        return await transition_order(
            self.orders, order_id, Order.cancel, by=by, done=_is_cancelled, versions=versions, owner=owner
        )


@dataclass(frozen=True)
class DeliverOrder:
    """Use case that marks an order as delivered and frees its driver. Idempotent."""

    orders: Orders

    async def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Order:
        return await transition_order(
            self.orders, order_id, Order.deliver, by=by, done=_is_delivered, versions=versions, owner=owner
        )


@dataclass(frozen=True)
class RedispatchOrder:
    """Use case that returns an order to automatic dispatch and frees its driver. A PENDING order is left unchanged.

    For `exclusion_seconds` automatic dispatch does not give the order to that driver again; 0 = it may at once.
    """

    orders: Orders
    exclusion_seconds: float = 0.0

    async def __call__(
        self, order_id: str, versions: Versions = None, *, by: Actor, owner: Owner | None = None
    ) -> Order:
        redispatch = partial(Order.redispatch, exclusion_seconds=self.exclusion_seconds)
        return await transition_order(
            self.orders, order_id, redispatch, by=by, done=_is_waiting, versions=versions, owner=owner
        )


@dataclass(frozen=True)
class DispatchManually:
    """Use case by which a dispatcher assigns a waiting order to any registered driver, on duty or not, near or far.

    `versions` are those that the dispatcher saw: a decision about an order that has changed since is refused. Drivers
    excluded for the order may be assigned.
    `UnknownDriver` for a driver without a record, `DriverBusy` for one with a live order.
    """

    orders: Orders
    drivers: Drivers

    async def __call__(self, order_id: str, driver_id: str, versions: Versions, *, by: Actor) -> Order:
        try:
            await self.drivers.get(driver_id)
        except DriverNotFound as error:
            raise UnknownDriver(driver_id) from error

        def assign(order: Order, /, *, by: Actor) -> None:
            order.dispatch(driver_id, by=by)

        def is_assigned(order: Order) -> bool:
            return order.status is Status.DISPATCHED and order.driver_id == driver_id

        return await transition_order(self.orders, order_id, assign, by=by, done=is_assigned, versions=versions)


@dataclass(frozen=True)
class ChangeOrder:
    """Use case that changes data of an order that has not ended; nothing that a dispatch depends on.

    An order that has the wanted values already is returned unchanged. `OrderEnded`; `TooManyChanges` within a second
    of the last change; `Invalid`.
    """

    orders: Orders

    async def __call__(
        self,
        order_id: str,
        wanted: Mapping[str, Any],
        versions: Versions,
        *,
        by: Actor,
        owner: Owner | None = None,
    ) -> Order:
        def change(order: Order, /, *, by: Actor) -> None:
            if order.changed_at and order.as_of:
                left = CHANGE_SECONDS - (order.as_of - order.changed_at).total_seconds()
                if left > 0:
                    raise TooManyChanges(left)
            order.change(wanted, by=by)

        return await transition_order(
            self.orders,
            order_id,
            change,
            by=by,
            done=lambda order: not order.changes(wanted),
            versions=versions,
            owner=owner,
            save=self.orders.change,
        )


def _is_cancelled(order: Order) -> bool:
    return order.status is Status.CANCELLED


def _is_delivered(order: Order) -> bool:
    return order.status is Status.DELIVERED


def _is_waiting(order: Order) -> bool:
    return order.status is Status.PENDING
