"""How a person or another system moves an order: read, move, save, and again if somebody was faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gofleet.domain.actor import Actor
from gofleet.domain.errors import OrderNotFound, StaleOrder, VersionMismatch
from gofleet.domain.order import Order, Owner
from gofleet.ports import Orders

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
