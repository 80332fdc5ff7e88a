"""Creation of orders."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from gofleet import failpoints
from gofleet.domain.errors import Invalid, OpenOrderLimitReached, OrderIdConflict, OrderNotFound
from gofleet.domain.order import Order, Owner
from gofleet.domain.order_ids import COMPUTED
from gofleet.ports import Orders


@dataclass(frozen=True)
class CreateOrder:
    """Use case that accepts an order, in one commit with its `orders.created` event.

    Returns the stored order and whether it is new: a repeated request with the same content returns the stored one.
    `OrderIdConflict` if the name belongs to an order with other content; `Invalid` if no new order may have it
    (`may_be_new` False). For a customer's own order (`own`), `OpenOrderLimitReached` at `most_open` open orders;
    concurrent requests may exceed it slightly.
    """

    orders: Orders
    most_open: int = sys.maxsize

    async def __call__(self, order: Order, *, own: bool = False, may_be_new: bool = True) -> tuple[Order, bool]:
        owner = Owner(order.customer_id) if own else None
        if not may_be_new:
            return await self._repeated(order, owner, Invalid("id", f"must not begin with {COMPUTED} for a new order"))
        if own and order.customer_id is not None and await self._at_limit(order.customer_id):
            return await self._repeated(order, owner, OpenOrderLimitReached(self.most_open))
        failpoints.hit("api.before_commit")
        if await self.orders.add(order):
            failpoints.hit("api.after_commit")
            return order, True
        return await self._repeated(order, owner, OrderIdConflict(order.client_order_id or order.id))

    async def _at_limit(self, customer_id: str) -> bool:
        return await self.orders.count_open(customer_id, self.most_open) >= self.most_open

    async def _repeated(self, order: Order, owner: Owner | None, otherwise: Exception) -> tuple[Order, bool]:
        """The stored order for a repeated request, which no limit must refuse; `otherwise` if there is none."""
        for name in filter(None, (order.id, order.client_order_id)):
            try:
                stored = await self.orders.get(name, owner)
            except OrderNotFound:
                continue
            if not stored.same_request(order):
                raise OrderIdConflict(order.client_order_id or order.id)
            return stored, False
        raise otherwise
