"""Filtering of lists and of the history by owner, in memory and in PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from gofleet.domain.errors import OrderNotFound
from gofleet.domain.history import HistoryCursor, HistoryFilter
from gofleet.domain.order import Order, OrderFilter, Owner
from gofleet.domain.order_ids import customer_order_id
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
        if id in seen:
            assert (await store.orders.get(id, owner)).id == id
        else:
            with pytest.raises(OrderNotFound):
                await store.orders.get(id, owner)


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


def named_by(customer: str, name: str) -> Order:
    return an_order(customer_order_id(customer, name), customer_id=customer, client_order_id=name)


async def test_a_customer_finds_an_order_by_either_id(store: Store) -> None:
    assert all([await store.orders.add(named_by(customer, "shop-1")) for customer in ("ana", "bea")])
    ana, bea = (customer_order_id(customer, "shop-1") for customer in ("ana", "bea"))

    for name, owner, found in (
        ("shop-1", Owner("ana"), ana),
        (ana, Owner("ana"), ana),
        (bea, Owner("ana"), None),
        ("shop-1", Owner("caio"), None),
        ("shop-1", Owner(driver_id="ana"), None),
        ("shop-1", None, None),
        (bea, None, bea),
    ):
        try:
            assert (await store.orders.get(name, owner)).id == found
        except OrderNotFound:
            assert found is None
    page = await store.history.after(HistoryCursor(0, 0), HistoryFilter(frozenset({ana, "shop-1"})), 10)
    assert [(entry.order_id, entry.client_order_id) for entry in page.entries] == [(ana, "shop-1")]


async def test_a_name_that_is_the_id_of_an_order_of_its_customer_is_not_added(store: Store) -> None:
    """The customer named it before ids were computed, or a service did for the customer."""
    assert await store.orders.add(an_order("shop-1", customer_id="ana"))
    await store.published()

    orders = [named_by(customer, "shop-1") for customer in ("ana", "bea", "caio")]

    added = await asyncio.gather(*map(store.orders.add, orders))

    assert added == [False, True, True]
    assert {message.order_id for message in await store.published()} == {order.id for order in orders[1:]}
