from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.actor import Actor
from gofleet.domain.errors import DriverNotFound, UnknownDriver
from gofleet.domain.order import Order, Status
from gofleet.ports import Drivers, Orders
from gofleet.usecases.transitions import Versions, transition_order


@dataclass(frozen=True)
class DispatchManually:
    """A person gives a waiting order to a driver of their choice, on duty or not, near or far: they know better.

    `versions` says what that person saw, so that nobody decides about an order that has changed meanwhile.
    `UnknownDriver` for one who has no record, `DriverBusy` for one who holds a live order.
    """

    orders: Orders
    drivers: Drivers

    async def __call__(self, order_id: str, driver_id: str, versions: Versions, *, by: Actor) -> Order:
        try:
            await self.drivers.get(driver_id)
        except DriverNotFound as error:
            raise UnknownDriver(driver_id) from error

        def give(order: Order, /, *, by: Actor) -> None:
            order.dispatch(driver_id, by=by)

        def is_given(order: Order) -> bool:
            return order.status is Status.DISPATCHED and order.driver_id == driver_id

        return await transition_order(self.orders, order_id, give, by=by, done=is_given, versions=versions)
