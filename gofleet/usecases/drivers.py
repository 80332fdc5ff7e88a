from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.driver import DriverFilter
from gofleet.domain.errors import OrderNotFound
from gofleet.domain.order import Status
from gofleet.ports import Drivers, Holding, Orders, Positions


@dataclass(frozen=True)
class ReconcileDrivers:
    """Compare what the fleet knows of its drivers with the database, and mend it; returns how much was mended.

    News of orders may be lost together with a broker, and all that is known together with Redis. Everything told here
    carries the order's version, so that news which is on its way meanwhile is neither overtaken nor repeated.
    """

    orders: Orders
    drivers: Drivers
    positions: Positions
    batch: int

    async def __call__(self) -> int:
        registered = 0 if await self.positions.is_initialized() else await self._register_all()
        known = set(await self.positions.holdings())  # before the orders are read: what comes in between is news
        live = await self._live()
        for missing in live - known:
            await self.positions.occupy(missing.driver_id, missing.order_id, missing.sequence)
        return registered + len(live - known) + await self._free(sorted(known - live))

    async def _register_all(self) -> int:
        """Names and duty of all drivers: one who is off duty must not look free for having been forgotten."""
        registered, after = 0, ""
        while page := await self.drivers.list(DriverFilter(after), self.batch):
            for driver in page:
                await self.positions.register(driver)
            registered, after = registered + len(page), page[-1].id
        await self.positions.mark_initialized()
        return registered

    async def _live(self) -> set[Holding]:
        live, after = set[Holding](), None
        while page := await self.orders.live(after, self.batch):
            live.update(page)
            after = page[-1]
        return live

    async def _free(self, stale: list[Holding]) -> int:
        freed = 0
        for holding in stale:
            try:
                order = await self.orders.get(holding.order_id)
            except OrderNotFound:  # lost by the database: nobody holds it
                version = holding.sequence
            else:
                if order.status is Status.DISPATCHED and order.driver_id == holding.driver_id:
                    continue  # given again to the same driver, or since the live orders were read
                version = max(order.version, holding.sequence)
            await self.positions.free(holding.driver_id, holding.order_id, version)
            freed += 1
        return freed
