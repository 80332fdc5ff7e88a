"""What clients tell about orders: limits, and texts that cannot be displayed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from gofleet.domain.errors import Invalid, OrderEnded
from gofleet.domain.events import OrderUpdated
from gofleet.domain.order import Order, Status
from gofleet.domain.order_data import Item
from gofleet.domain.principal import CLIENT
from tests.makers import an_order

PIZZA = Item("Pizza", 2)


def an_order_with(**data: Any) -> Order:
    return Order.create("o-1", Decimal(1), Decimal(0), by=CLIENT, **data)


@pytest.mark.parametrize(
    ("data", "field", "why"),
    [
        ({"reference": ""}, "reference", "1 to 64 characters"),
        ({"reference": "x" * 65}, "reference", "1 to 64 characters"),
        ({"reference": "A\u202e1"}, "reference", "U+202E"),
        ({"reference": "A\0"}, "reference", "U+0000"),
        ({"items": [PIZZA, Item("", 1)]}, "items.1.name", "1 to 100 characters"),
        ({"items": [Item("x" * 101, 1)]}, "items.0.name", "1 to 100 characters"),
        ({"items": [Item("Pizza\n", 1)]}, "items.0.name", "U+000A"),
        ({"items": [Item("Pizza", 0)]}, "items.0.quantity", "1 to 999"),
        ({"items": [Item("Pizza", 1000)]}, "items.0.quantity", "1 to 999"),
        ({"items": [PIZZA] * 51}, "items", "at most 50"),
        ({"metadata": {str(n): "" for n in range(21)}}, "metadata", "at most 20 pairs"),
        ({"metadata": {"": "x"}}, "metadata", "a key that must be 1 to 40 characters"),
        ({"metadata": {"x" * 41: "x"}}, "metadata", "a key that must be 1 to 40 characters"),
        ({"metadata": {"a\0": "x"}}, "metadata", "a key that must not contain U+0000"),
        ({"metadata": {"a": "x" * 501}}, "metadata", "at most 500 characters"),
        ({"metadata": {"a": "x\0"}}, "metadata", "without NUL"),
    ],
)
def test_invalid_data_is_refused(data: Mapping[str, Any], field: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        an_order_with(**data)

    assert refused.value.field == field
    assert why in refused.value.why


def test_the_limits_are_allowed() -> None:
    data: dict[str, Any] = {
        "reference": "x" * 64,
        "items": [Item("x" * 100, 999)] * 50,
        "metadata": {f"{n:040}": "x\n" * 250 for n in range(20)},
    }

    order = an_order_with(**data)

    assert {name: getattr(order, name) for name in data} == {**data, "items": tuple(data["items"])}


def test_empty_data_is_none() -> None:
    order = an_order_with(items=[], metadata={})

    assert (order.reference, order.items, order.metadata) == (None, None, None)
    assert order.same_request(an_order_with())


def test_a_reference_is_stored_in_one_form() -> None:
    assert an_order_with(reference="Cafe\u0301").reference == "Caf\u00e9"


@pytest.mark.parametrize("other", [{"reference": "B"}, {"items": [Item("Pizza", 3)]}, {"metadata": {"shop": "norte"}}])
def test_data_belongs_to_the_request(other: Mapping[str, Any]) -> None:
    data: dict[str, Any] = {"reference": "A", "items": [PIZZA], "metadata": {"shop": "centro", "till": "1"}}

    assert an_order_with(**data).same_request(an_order_with(**data, **{}))
    assert an_order_with(**data).same_request(an_order_with(**{**data, "metadata": {"till": "1", "shop": "centro"}}))
    assert not an_order_with(**data).same_request(an_order_with(**{**data, **other}))


def test_a_change_is_a_version_with_an_event() -> None:
    order = an_order_with(reference="A", items=[PIZZA], metadata={"shop": "centro", "till": "1"})
    order.pending_events.clear()

    order.change({"reference": None, "metadata": {"till": None, "note": "x"}}, by="maria")

    assert (order.reference, order.items, order.metadata) == (None, (PIZZA,), {"shop": "centro", "note": "x"})
    assert (order.version, order.status, order.actor) == (2, Status.PENDING, "maria")
    (event,) = order.pending_events
    assert isinstance(event, OrderUpdated)
    assert (event.sequence, event.changed) == (2, ["metadata", "reference"])
    assert (event.reference, event.metadata) == (msgspec.UNSET, {"shop": "centro", "note": "x"})


def test_a_changed_order_is_still_the_one_that_was_requested() -> None:
    """Also after a second change, and after one back."""
    data: dict[str, Any] = {"reference": "A", "items": [PIZZA], "metadata": {"shop": "centro"}}
    order = an_order_with(**data)
    for reference in ("B", "C", "A"):
        order.change({"reference": reference, "items": None}, by="maria")
        assert order.same_request(an_order_with(**data))
        assert not order.same_request(an_order_with(**{**data, "reference": "B"}))
        assert order.as_created.creation_fields() == an_order_with(**data).creation_fields()
    assert order.version == 4


@pytest.mark.parametrize(
    "wanted", [{}, {"reference": "A"}, {"metadata": {"b": None}}, {"metadata": {"a": "1"}}, {"items": []}]
)
def test_what_changes_nothing_is_no_version(wanted: Mapping[str, Any]) -> None:
    order = an_order_with(reference="A", metadata={"a": "1"})

    order.change(wanted, by="maria")

    assert (order.version, len(order.pending_events), order.created_as) == (1, 1, None)


@pytest.mark.parametrize("status", Status)
def test_an_order_changes_until_it_has_ended(status: Status) -> None:
    order = an_order(status=status)
    version, driver_id = order.version, order.driver_id
    if order.is_open:
        order.change({"reference": "A"}, by="maria")
        assert (order.version, order.status, order.driver_id) == (version + 1, status, driver_id)
    else:
        with pytest.raises(OrderEnded):
            order.change({"reference": "A"}, by="maria")
        assert (order.version, order.reference) == (version, None)


@pytest.mark.parametrize(
    "wanted",
    [
        {"reference": ""},
        {"items": [Item("", 1)]},
        {"metadata": {"a": "\0"}},
        {"metadata": {str(n): "" for n in range(20)}},
    ],
)
def test_an_invalid_change_changes_nothing(wanted: Mapping[str, Any]) -> None:
    order = an_order_with(metadata={"a": "1"})

    with pytest.raises(Invalid):
        order.change(wanted, by="maria")
    assert (order.version, order.reference, order.items, order.metadata) == (1, None, None, {"a": "1"})
