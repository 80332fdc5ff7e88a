"""Creation, cancellation and delivery, in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from gofleet.domain.errors import InvalidTransition, OrderIdConflict, OrderNotFound, StaleOrder
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Status
from gofleet.domain.principal import CLIENT
from gofleet.testing.orders import MemoryOrders
from gofleet.usecases.create_order import CreateOrder
from gofleet.usecases.transitions import CancelOrder, DeliverOrder
from tests.makers import an_order


async def test_creates_an_order_once_for_concurrent_requests() -> None:
    orders = MemoryOrders()
    create = CreateOrder(orders)

    outcomes = await asyncio.gather(*(create(an_order("o-1")) for _ in range(5)))

    assert [new for _, new in outcomes].count(True) == 1
    assert len(orders.outbox) == 1


async def test_refuses_another_order_with_the_same_id() -> None:
    orders = MemoryOrders()
    await CreateOrder(orders)(an_order("o-1"))

    with pytest.raises(OrderIdConflict):
        await CreateOrder(orders)(an_order("o-1", price="5"))

    assert (await orders.get("o-1")).price == 100


async def test_cancel_is_idempotent() -> None:
    orders = MemoryOrders()
    await orders.add(an_order("o-1"))
    cancel = CancelOrder(orders)

    first, second = await cancel("o-1", by=CLIENT), await cancel("o-1", by=CLIENT)

    assert (first.status, second.status, second.version) == (Status.CANCELLED, Status.CANCELLED, 2)
    assert len(orders.outbox) == 2


async def test_delivers_only_a_dispatched_order() -> None:
    orders = MemoryOrders()
    await orders.add(an_order("o-1"))

    with pytest.raises(InvalidTransition):
        await DeliverOrder(orders)("o-1", by=CLIENT)
    with pytest.raises(OrderNotFound):
        await DeliverOrder(orders)("o-2", by=CLIENT)


@dataclass
class Contested(MemoryOrders):
    """Orders whose first `rivals` saves lose a race."""

    rivals: int = 1

    async def save(self, order: Order, receipt: Receipt | None = None) -> None:
        if self.rivals:
            self.rivals -= 1
            raise StaleOrder(order.id, order.stored_version)
        await super().save(order, receipt)


async def test_retries_after_a_lost_race() -> None:
    orders = Contested(rivals=3)
    await orders.add(an_order("o-1"))

    assert (await CancelOrder(orders)("o-1", by=CLIENT)).status is Status.CANCELLED


async def test_raises_after_repeatedly_lost_races() -> None:
    orders = Contested(rivals=100)
    await orders.add(an_order("o-1"))

    with pytest.raises(StaleOrder):
        await CancelOrder(orders)("o-1", by=CLIENT)
