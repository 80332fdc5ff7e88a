"""Ids of orders as callers name them, and the one global id that each of them stands for.

Staff, services and anonymous callers name orders in one name space: their id is the global id. An id named by a
customer, and every Idempotency-Key, belongs to its owner: the global id is computed from both. So the primary key alone
decides which of several requests creates an order, and the names of one owner say nothing about those of another.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from gofleet.domain.errors import Invalid

COMPUTED = "own-"
"""Prefix of computed ids; no new order is named so."""
HASH_CHARS = 32
"""Hex digits, 128 bits: a second text with the same hash is out of reach."""
RESERVED = frozenset({"stream"})
"""Ids that no order may have, because `GET /orders/stream` is another route."""


class OrderName(NamedTuple):
    """Name of a requested order: its global id (None: to be generated) and the customer's own id for it.

    With `may_be_new` False the request is only valid as the repetition of one that created the order.
    """

    id: str | None = None
    client_order_id: str | None = None
    may_be_new: bool = True


def customer_order_id(customer_id: str, name: str) -> str:
    """The global id of the order that the customer calls `name`."""
    return _computed("customer", customer_id, name)


def order_name(id: str | None, key: str | None, *, customer_id: str | None, caller_id: str) -> OrderName:
    """The name of the order in a request with that `id` and Idempotency-Key, which is taken as the id where there is
    none.

    `customer_id` is that of a customer's own order, `caller_id` the subject of any caller. `Invalid` if the two texts
    differ; their form is checked elsewhere.
    """
    if id is None:
        if key is None:
            return OrderName()
        if customer_id is None:
            return OrderName(_computed("caller", caller_id, key))
        id = key
    elif key is not None and key != id:
        raise Invalid("id", "must equal the Idempotency-Key, if both are sent")
    if id.startswith(COMPUTED):
        return OrderName(id, may_be_new=False)
    return OrderName(id) if customer_id is None else OrderName(customer_order_id(customer_id, id), id)


def _computed(kind: str, owner_id: str, name: str) -> str:
    """The parts are joined by a character that no kind and no id contains."""
    return COMPUTED + hashlib.sha256(f"{kind}/{owner_id}/{name}".encode()).hexdigest()[:HASH_CHARS]
