"""How a person or another system moves an order: read, move, save, and again if somebody was faster."""

from __future__ import annotations

from collections.abc import Callable

from gofleet.domain.errors import StaleOrder
from gofleet.domain.order import Order, Status
from gofleet.ports import Orders

TRIES = 5
"""An order has five states and few moves: losing this many races in a row means something else is wrong."""


async def move_order(orders: Orders, order_id: str, wanted: Status, verb: Callable[[Order], None]) -> Order:
    """The order after `verb`; as it stands if it was `wanted` already. `NoSuchOrder`, `IllegalMove`, `StaleOrder`."""
    for tries_left in reversed(range(TRIES)):
        order = await orders.get(order_id)
        if order.status is wanted:
            return order
        verb(order)
        try:
            await orders.save(order)
        except StaleOrder:
            if not tries_left:
                raise
            continue
        return order
    raise AssertionError("unreachable: the last try returns or raises")
