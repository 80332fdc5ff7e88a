from __future__ import annotations

from dataclasses import dataclass

from gofleet import failpoints
from gofleet.domain.errors import OrderTaken
from gofleet.domain.order import Order
from gofleet.ports import Orders


@dataclass(frozen=True)
class CreateOrder:
    """Accept an order; the same commit promises to tell the world.

    Asked twice for the same, it accepts once: returns the stored order and whether it is new.
    `OrderTaken` when the id belongs to an order with other content.
    """

    orders: Orders

    async def __call__(self, order: Order) -> tuple[Order, bool]:
        failpoints.hit("api.before_commit")
        if await self.orders.add(order):
            failpoints.hit("api.after_commit")
            return order, True
        stored = await self.orders.get(order.id)
        if not stored.same_request(order):
            raise OrderTaken(order.id)
        return stored, False
