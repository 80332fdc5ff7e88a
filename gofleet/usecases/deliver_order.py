from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.actor import Actor
from gofleet.domain.order import Order, Owner, Status
from gofleet.ports import Orders
from gofleet.usecases.transitions import Versions, transition_order


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
