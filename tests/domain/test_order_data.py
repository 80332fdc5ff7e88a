"""What clients tell about orders: limits, and texts that cannot be displayed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from gofleet.domain.errors import Invalid
from gofleet.domain.order import Order
from gofleet.domain.order_data import Item
from gofleet.domain.principal import CLIENT

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
