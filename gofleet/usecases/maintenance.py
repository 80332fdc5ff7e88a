from __future__ import annotations

from dataclasses import dataclass

from gofleet import failpoints
from gofleet.ports import Orders


@dataclass(frozen=True)
class RepublishPending:
    """Announce orders that still wait though their news was published: it, or what was made of it, may be lost.

    Returns how many. Whoever hears of an order twice finds it moved the second time.
    """

    orders: Orders
    after_seconds: float
    batch: int

    async def __call__(self) -> int:
        announced = await self.orders.republish_pending(self.after_seconds, self.batch)
        if announced:
            failpoints.hit("sweeper.after_announce")
        return len(announced)
