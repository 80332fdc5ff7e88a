from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.events import AnyOrderEvent, OrderCancelled, OrderDelivered, OrderDispatched, OrderRedispatched
from gofleet.ports import Positions


@dataclass(frozen=True)
class FollowOrders:
    """Learn from the news about an order whether its driver is busy or free. Late and repeated news do no harm."""

    positions: Positions

    async def __call__(self, event: AnyOrderEvent) -> None:
        match event:
            case OrderDispatched(order_id=order_id, sequence=sequence, driver_id=driver_id):
                await self.positions.occupy(driver_id, order_id, sequence)
            case (
                OrderDelivered(order_id=order_id, sequence=sequence, driver_id=str(driver_id))
                | OrderCancelled(order_id=order_id, sequence=sequence, driver_id=str(driver_id))
                | OrderRedispatched(order_id=order_id, sequence=sequence, driver_id=str(driver_id))
            ):
                await self.positions.free(driver_id, order_id, sequence)
            case _:
                pass
