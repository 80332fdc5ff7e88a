"""The contract of `Orders.change`, in memory and in PostgreSQL."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gofleet.domain.errors import OrderNotFound, StaleOrder
from gofleet.domain.history import ChangeKind
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Status
from gofleet.domain.order_data import Item
from gofleet.domain.principal import CLIENT, WORKER
from tests.makers import an_order, dispatch_to
from tests.ports.stores import Store, store

__all__ = ["store"]

PIZZA = (Item("Pizza", 2),)


async def changed(store: Store, order_id: str = "o-1", **wanted: object) -> Order:
    order = await store.orders.get(order_id)
    order.change(wanted, by="maria@example.org")
    await store.orders.change(order)
    return order


async def test_a_change_is_saved_with_its_event_and_its_entry(store: Store) -> None:
    await store.orders.add(an_order("o-1", reference="A", metadata={"shop": "centro"}))

    order = await changed(store, reference=None, items=list(PIZZA), metadata={"shop": None, "note": "x"})

    assert order.pending_events == []
    stored = await store.orders.get("o-1")
    assert (stored.reference, stored.items, stored.metadata) == (None, PIZZA, {"note": "x"})
    assert (stored.version, stored.status, stored.driver_id) == (2, Status.PENDING, None)
    assert stored.created_as == {"reference": "A", "items": None, "metadata": {"shop": "centro"}}
    assert stored.changed_at == order.changed_at is not None
    assert stored.pending_since == stored.created_at
    created, updated = [msgspec.json.decode(message.body) for message in await store.published()]
    assert (created["sequence"], updated["sequence"], updated["type"]) == (1, 2, "orders.updated")
    assert (updated["changed"], updated["metadata"]) == (["items", "metadata", "reference"], {"note": "x"})
    assert updated["occurred_at"] >= created["occurred_at"]
    entries = await store.history.of("o-1", 10)
    assert [(entry.kind, entry.actor) for entry in entries] == [
        (ChangeKind.CREATED, CLIENT),
        (ChangeKind.UPDATED, "maria@example.org"),
    ]


async def test_a_second_change_keeps_the_data_of_the_creation(store: Store) -> None:
    await store.orders.add(an_order("o-1", reference="A", items=PIZZA))
    await changed(store, reference="B")

    await changed(store, reference="C", items=None)

    stored = await store.orders.get("o-1")
    assert stored.created_as == {"reference": "A", "items": PIZZA}
    assert stored.same_request(an_order("o-1", reference="A", items=PIZZA))


async def test_a_dispatched_order_keeps_its_driver_and_a_pending_one_waits_on(store: Store) -> None:
    await store.kept("o-1", dispatch_to("ana"))
    before = await store.orders.get("o-1")

    await changed(store, reference="A")

    after = await store.orders.get("o-1")
    assert (after.status, after.driver_id, after.dispatched_at) == (Status.DISPATCHED, "ana", before.dispatched_at)
    after.deliver(by=CLIENT)
    await store.orders.save(after)
    assert (await store.orders.get("o-1")).reference == "A"


async def test_a_change_and_a_dispatch_at_once_are_both_kept_or_one_is_stale(store: Store) -> None:
    await store.orders.add(an_order("o-1"))
    dispatched, other = await store.orders.get("o-1"), await store.orders.get("o-1")
    dispatched.dispatch("ana", by=WORKER)
    other.change({"reference": "A"}, by=CLIENT)

    receipt = Receipt("dispatch", "60c843d4-7e7e-4c74-9705-8fbebfd59c62")
    answers = await asyncio.gather(
        store.orders.save(dispatched, receipt), store.orders.change(other), return_exceptions=True
    )

    assert [type(answer) for answer in answers if answer] == [StaleOrder]
    stored = await store.orders.get("o-1")
    assert (stored.version, stored.driver_id, stored.reference) in {(2, "ana", None), (2, None, "A")}
    assert len(await store.published()) == 2


async def test_a_change_of_a_moved_or_unknown_order_is_stale(store: Store) -> None:
    await store.orders.add(an_order("o-1"))
    order = await store.orders.get("o-1")
    await changed(store, reference="A")

    order.change({"reference": "B"}, by=CLIENT)
    with pytest.raises(StaleOrder):
        await store.orders.change(order)
    unknown = an_order("o-2")
    unknown.pending_events.clear()
    unknown.change({"reference": "B"}, by=CLIENT)
    with pytest.raises(StaleOrder):
        await store.orders.change(unknown)
    with pytest.raises(OrderNotFound):
        await store.orders.get("o-2")
    assert (await store.orders.get("o-1")).reference == "A"
