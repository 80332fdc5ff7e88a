"""Transitions of an order and their events."""

from __future__ import annotations

from decimal import Decimal
from inspect import signature
from random import Random

import pytest

from gofleet.domain.errors import Invalid, InvalidTransition
from gofleet.domain.order import TRANSITIONS, Order, Status
from gofleet.domain.place import Place
from gofleet.domain.principal import CLIENT
from gofleet.usecases.transitions import Transition
from tests.makers import an_order, dispatch_to, escalate

VERBS: dict[Status, Transition] = {
    Status.DISPATCHED: dispatch_to("bia"),
    Status.MANUAL_DISPATCH: escalate,
    Status.DELIVERED: Order.deliver,
    Status.CANCELLED: Order.cancel,
    Status.PENDING: Order.redispatch,
}


@pytest.mark.parametrize("now", Status)
@pytest.mark.parametrize("wanted", Status)
def test_the_methods_allow_the_transitions_of_the_table(now: Status, wanted: Status) -> None:
    order = an_order(status=now)
    order.pending_events.clear()
    version = order.version

    if wanted in TRANSITIONS[now]:
        VERBS[wanted](order, by="me")
        assert order.status is wanted
        assert (order.version, order.actor) == (version + 1, "me")
        assert [event.sequence for event in order.pending_events] == [version + 1]
    else:
        with pytest.raises(InvalidTransition):
            VERBS[wanted](order, by="me")
        assert (order.status, order.version, order.pending_events) == (now, version, [])


def test_the_final_price_is_exact() -> None:
    assert an_order(price="0.10", tax="0.20").final_price == Decimal("0.30")


def test_an_order_without_an_id_gets_one_that_sorts_by_time() -> None:
    first, second = an_order(None), an_order(None)

    assert first.id < second.id


def test_redispatch_unassigns_the_driver_and_names_it_in_the_event() -> None:
    order = an_order(status=Status.DISPATCHED, driver_id="ana")

    order.redispatch(by=CLIENT)

    assert order.driver_id is None
    assert getattr(order.pending_events[-1], "driver_id", None) == "ana"


@pytest.mark.parametrize(
    ("price", "tax", "field"),
    [
        ("0", "0", "price"),
        ("-1", "0", "price"),
        ("1", "-0.01", "tax"),
        ("10.005", "0", "price"),
        ("1", "0.001", "tax"),
        ("NaN", "0", "price"),
        ("sNaN", "0", "price"),
        ("1", "Infinity", "tax"),
        ("1e308", "0", "price"),
        ("1E+1000000", "0", "price"),
        ("1E-1000000", "0", "price"),
        ("100000000", "0", "price"),
        ("99999999.99", "0.01", "price"),
        (f"1.{'0' * 5000}1", "0", "price"),
    ],
)
def test_rejects_invalid_amounts_by_field(price: str, tax: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        an_order(price=price, tax=tax)

    assert refused.value.field == field


def test_price_and_tax_add_up() -> None:
    random = Random(18)  # noqa: S311  a seed for repeatable amounts
    amounts = [(random.randint(1, 4_999_999_999), random.randint(0, 5_000_000_000)) for _ in range(500)]
    for price, tax in [(1, 0), (4_999_999_999, 5_000_000_000), *amounts]:
        order = Order.create("o", Decimal(price).scaleb(-2), Decimal(tax).scaleb(-2), by=CLIENT)

        assert order.final_price == order.price + order.tax == Decimal(price + tax).scaleb(-2)
        assert order.final_price.as_tuple().exponent == -2


@pytest.mark.parametrize("id", ["", "a\n", "a\0", "a b", "ä", "\u202ea", "x" * 65, "a/b", "%00"])
def test_ids_are_short_plain_text(id: str) -> None:
    with pytest.raises(Invalid) as refused:
        an_order(id)

    assert refused.value.field == "id"


@pytest.mark.parametrize(
    ("lat", "lng", "field"),
    [
        (float("nan"), 1, "pickup.lat"),
        (90.0, 1, "pickup.lat"),
        (1, 180.5, "pickup.lng"),
        (1, float("inf"), "pickup.lng"),
        (0, 0, "pickup"),
    ],
)
def test_rejects_invalid_places_by_field(lat: float, lng: float, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        an_order(pickup=Place(lat, lng))

    assert refused.value.field == field


def test_the_creation_fields_include_everything_that_create_accepts() -> None:
    order = an_order("o-1", Status.DELIVERED)

    assert set(signature(Order.create).parameters) - {"by"} <= order.creation_fields().keys()
    assert order.creation_fields() == an_order("o-1").creation_fields()


def test_the_same_request_is_recognised_after_transitions() -> None:
    first, delivered = an_order("o-1"), an_order("o-1", Status.DELIVERED)

    assert first.same_request(delivered)
    assert not first.same_request(an_order("o-1", price="101"))
    assert not first.same_request(an_order("o-1", pickup=None))
