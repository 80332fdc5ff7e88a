"""Global ids computed from owners and names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gofleet.domain.errors import Invalid
from gofleet.domain.order import Owner, order_ids
from gofleet.domain.order_ids import COMPUTED, OrderName, customer_order_id, order_name
from gofleet.domain.values import IDENTIFIER

IDS = st.from_regex(IDENTIFIER, fullmatch=True)


def test_a_computed_id_never_changes() -> None:
    """Stored orders are found by it, so another value would create them again."""
    assert customer_order_id("ana", "shop-1001") == "own-cb2c6f9d42a06469dfc72c5fc983307c"
    assert order_name(None, "cart-7", customer_id=None, caller_id="shop").id == "own-e049a260a73f7c25c5554fa70b31e69c"


@given(st.tuples(IDS, IDS), st.tuples(IDS, IDS))
def test_owners_and_names_do_not_run_together(one: tuple[str, str], other: tuple[str, str]) -> None:
    ids = {customer_order_id(*one), customer_order_id(*other)}
    assert len(ids) == (1 if one == other else 2)
    for owner, name in (one, other):
        assert IDENTIFIER.fullmatch(customer_order_id(owner, name))
        assert order_name(None, name, customer_id=None, caller_id=owner).id not in ids


@pytest.mark.parametrize(
    ("id", "key", "customer_id", "expected"),
    [
        (None, None, None, OrderName()),
        (None, None, "ana", OrderName()),
        ("o-1", None, None, OrderName("o-1")),
        ("o-1", "o-1", None, OrderName("o-1")),
        ("o-1", None, "ana", OrderName(customer_order_id("ana", "o-1"), "o-1")),
        (None, "o-1", "ana", OrderName(customer_order_id("ana", "o-1"), "o-1")),
        ("o-1", "o-1", "ana", OrderName(customer_order_id("ana", "o-1"), "o-1")),
        (f"{COMPUTED}1", None, None, OrderName(f"{COMPUTED}1", may_be_new=False)),
        (f"{COMPUTED}1", None, "ana", OrderName(f"{COMPUTED}1", may_be_new=False)),
    ],
)
def test_a_name_is_global_or_its_customers(
    id: str | None, key: str | None, customer_id: str | None, expected: OrderName
) -> None:
    assert order_name(id, key, customer_id=customer_id, caller_id="shop") == expected


def test_keys_of_other_callers_are_theirs() -> None:
    shop, desk = (order_name(None, "cart-7", customer_id=None, caller_id=caller) for caller in ("shop", "desk"))
    assert shop.id != desk.id
    assert (shop.client_order_id, shop.may_be_new) == (None, True)


@pytest.mark.parametrize("customer_id", [None, "ana"])
def test_an_id_and_another_key_are_refused(customer_id: str | None) -> None:
    with pytest.raises(Invalid) as refused:
        order_name("o-1", "o-2", customer_id=customer_id, caller_id="shop")
    assert refused.value.field == "id"


def test_only_a_customers_requests_know_own_names() -> None:
    assert order_ids("o-1", None) == ("o-1",)
    assert order_ids("o-1", Owner(driver_id="x")) == ("o-1",)
    assert order_ids("o-1", Owner("ana", "ana")) == ("o-1", customer_order_id("ana", "o-1"))
