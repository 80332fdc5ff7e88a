"""Filtering of lists and of the history by owner, in memory and in PostgreSQL."""

from __future__ import annotations

import pytest

from gofleet.domain.history import HistoryCursor, HistoryFilter
from gofleet.domain.order import Order, OrderFilter, Owner
from gofleet.usecases.transitions import transition_order
from tests.makers import an_order, dispatch_to
from tests.ports.stores import Store, store

__all__ = ["store"]

ORDERS = {"o-1": ("ana", "x"), "o-2": ("ana", None), "o-3": ("bea", "y"), "o-4": (None, None), "o-5": ("bea", None)}
"""Customer and driver by order id."""


async def settled(store: Store) -> None:
    for id, (customer, driver) in ORDERS.items():
        await store.orders.add(an_order(id, customer_id=customer))
        if driver is not None:
            await transition_order(store.orders, id, dispatch_to(driver), by="worker", done=lambda _: False)


@pytest.mark.parametrize(
    ("owner", "seen"),
    [
        (None, ["o-1", "o-2", "o-3", "o-4", "o-5"]),
        (Owner("ana"), ["o-1", "o-2"]),
        (Owner("bea"), ["o-3", "o-5"]),
        (Owner("unknown"), []),
        (Owner(driver_id="x"), ["o-1"]),
        (Owner("bea", "x"), ["o-1", "o-3", "o-5"]),
        (Owner(), []),
    ],
)
async def test_a_list_has_only_the_owners_orders(store: Store, owner: Owner | None, seen: list[str]) -> None:
    await settled(store)
    assert sorted(order.id for order in await store.orders.list(OrderFilter(owner=owner), 10)) == seen
    for id in ORDERS:
        assert (await store.orders.get(id)).is_of(owner) is (id in seen)


async def test_pages_of_an_owners_orders(store: Store) -> None:
    await settled(store)
    seen: list[str] = []
    before = None
    while page := await store.orders.list(OrderFilter(owner=Owner("bea", "x"), before=before), 1):
        assert page[0].created_at is not None
        before = (page[0].created_at, page[0].id)
        seen.append(page[0].id)
    assert seen == ["o-5", "o-3", "o-1"]


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (Owner("ana"), ["o-1 created", "o-1 dispatched", "o-2 created", "o-1 redispatched", "o-1 dispatched"]),
        (Owner(driver_id="x"), ["o-1 dispatched", "o-1 redispatched"]),
        (Owner(driver_id="z"), ["o-1 dispatched"]),
        (Owner(), []),
    ],
)
async def test_the_history_has_only_the_owners_transitions(store: Store, owner: Owner, expected: list[str]) -> None:
    await settled(store)
    await transition_order(store.orders, "o-1", Order.redispatch, by="dispatcher", done=lambda _: False)
    await transition_order(store.orders, "o-1", dispatch_to("z"), by="worker", done=lambda _: False)
    page = await store.history.after(HistoryCursor(0, 0), HistoryFilter(owner=owner), 100)
    described = [f"{entry.order_id} {entry.kind.value.removeprefix('orders.')}" for entry in page.entries]
    assert described == expected


async def test_counts_the_unfinished_orders_of_a_customer(store: Store) -> None:
    await settled(store)
    assert [await store.orders.count_open(name, 10) for name in ("ana", "bea", "caio")] == [2, 2, 0]
    assert await store.orders.count_open("ana", 1) == 1
    await transition_order(store.orders, "o-1", Order.deliver, by="x", done=lambda _: False)
    await transition_order(store.orders, "o-2", Order.cancel, by="ana", done=lambda _: False)
    assert await store.orders.count_open("ana", 10) == 0
