from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.actor import Actor
from gofleet.domain.order import Order, Owner, Status
from gofleet.ports import Orders
from gofleet.usecases.transitions import Versions, transition_order


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
