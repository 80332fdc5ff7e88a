from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.actor import Actor
from gofleet.domain.order import Order, Owner, Status
from gofleet.ports import Orders
from gofleet.usecases.transitions import Versions, transition_order


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
