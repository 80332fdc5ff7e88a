"""Escalation of overdue orders, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.principal import WORKER
from gofleet.testing.orders import MemoryOrders
from gofleet.usecases.maintenance import SweepOrders
from tests.makers import an_order


async def test_escalates_overdue_orders_with_the_reason() -> None:
    orders = MemoryOrders()
    await orders.add(an_order("o-1"))

    assert await SweepOrders(orders, t_max_seconds=60, batch=10)() == 0
    assert await SweepOrders(orders, t_max_seconds=0, batch=10)() == 1

    order = await orders.get("o-1")
    assert (order.status, order.reason) == (Status.MANUAL_DISPATCH, Reason.DEADLINE)
    assert orders.outbox[-1].message.type == "orders.manual_dispatch"


@dataclass
class Raced(MemoryOrders):
    """Orders of which the first is dispatched concurrently."""

    async def overdue(self, seconds: float, limit: int) -> Sequence[Order]:
        found = await super().overdue(seconds, limit)
        first = await self.get(found[0].id)
        first.dispatch("ana", by=WORKER)
        await self.save(first)
        return found


async def test_an_order_changed_concurrently_is_skipped() -> None:
    orders = Raced()
    for number in (1, 2):
        await orders.add(an_order(f"o-{number}"))

    assert await SweepOrders(orders, t_max_seconds=0, batch=10)() == 1

    assert (await orders.get("o-1")).status is Status.DISPATCHED
    assert (await orders.get("o-2")).status is Status.MANUAL_DISPATCH


@dataclass
class Poisoned(MemoryOrders):
    """Orders of which one cannot be saved."""

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        if order.id == "o-1":
            raise RuntimeError("a constraint from the future")
        await super().save(order, receipt)


async def test_a_failing_order_does_not_stop_the_others() -> None:
    orders = Poisoned()
    for number in (1, 2, 3):
        await orders.add(an_order(f"o-{number}"))

    with pytest.raises(ExceptionGroup, match="some orders could not be swept") as raised:
        await SweepOrders(orders, t_max_seconds=0, batch=10)()

    assert len(raised.value.exceptions) == 1
    assert [(await orders.get(f"o-{number}")).status for number in (2, 3)] == [Status.MANUAL_DISPATCH] * 2
