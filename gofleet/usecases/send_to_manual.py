from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.actor import WORKER
from gofleet.domain.errors import StaleOrder
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Reason, Status
from gofleet.ports import Inbox, Orders


@dataclass(frozen=True)
class SendToManual:
    """Hand a waiting order to people; whatever happened to it meanwhile stands."""

    orders: Orders
    inbox: Inbox

    async def __call__(self, order_id: str, reason: Reason, receipt: Receipt) -> Order:
        while True:
            order = await self.orders.get(order_id)
            if order.status is not Status.PENDING:
                await self.inbox.record(receipt, f"skipped:{order.status.value.lower()}")
                return order
            order.send_to_manual(reason, by=WORKER)
            try:
                await self.orders.save(order, receipt)
            except StaleOrder:
                continue  # moved by somebody else, so this ends: read how
            return order
