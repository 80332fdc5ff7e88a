"""A worker that dies when it begins to handle an order whose id ends in `-kills`. Python runs this at the start of a
process whose PYTHONPATH names this directory."""

from __future__ import annotations

import os
import signal

from gofleet.domain.events import OrderCreated
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order
from gofleet.usecases.dispatch_order import DispatchOrder

dispatch = DispatchOrder.__call__


async def die_or_dispatch(
    self: DispatchOrder, order_id: str, receipt: Receipt, announced: OrderCreated | None = None
) -> Order:
    if order_id.endswith("-kills"):
        os.kill(os.getpid(), signal.SIGKILL)
    return await dispatch(self, order_id, receipt, announced)


DispatchOrder.__call__ = die_or_dispatch
