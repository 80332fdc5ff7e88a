"""Creation of orders."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from gofleet import failpoints
from gofleet.domain.errors import OpenOrderLimitReached, OrderIdConflict, OrderNotFound
from gofleet.domain.order import Order
from gofleet.ports import Orders


@dataclass(frozen=True)
class CreateOrder:
    """Use case that accepts an order, in one commit with its `orders.created` event.

    Returns the stored order and whether it is new: a repeated request with the same content returns the stored one.
    `OrderIdConflict` if the id belongs to an order with other content. For a customer's own order
    (`own`), `OpenOrderLimitReached` at `most_open` open orders; concurrent requests may exceed it slightly.
    """

    orders: Orders
    most_open: int = sys.maxsize

    async def __call__(self, order: Order, *, own: bool = False) -> tuple[Order, bool]:
        if own and order.customer_id is not None and await self._at_limit(order.customer_id):
            return await self._repeated(order)
        failpoints.hit("api.before_commit")
        if await self.orders.add(order):
            failpoints.hit("api.after_commit")
            return order, True
        return await self._stored(order)

    async def _at_limit(self, customer_id: str) -> bool:
        return await self.orders.count_open(customer_id, self.most_open) >= self.most_open

    async def _repeated(self, order: Order) -> tuple[Order, bool]:
        """The stored order for a repeated request, which the limit must not refuse; else `OpenOrderLimitReached`."""
        try:
            return await self._stored(order)
        except OrderNotFound:
            raise OpenOrderLimitReached(self.most_open) from None

    async def _stored(self, order: Order) -> tuple[Order, bool]:
        stored = await self.orders.get(order.id)
        if not stored.same_request(order):
            raise OrderIdConflict(order.id)
        return stored, False
