"""Orders as rows: the parameters of the statements in sql/queries/orders.sql, and the rows that they return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from psycopg.rows import DictRow

from gofleet.domain.events import to_json
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.order_data import CHANGEABLE, Item
from gofleet.domain.place import Place
from gofleet.telemetry.tracing import current_traceparent, trace_id_of

_encoder = msgspec.json.Encoder(decimal_format="number")  # exact: PostgreSQL reads JSON numbers as numeric


def inserted_row(order: Order) -> bytes:
    """A new order and its event, as a JSON object for `orders.add`."""
    row = order.creation_fields() | _transition(order)
    del row["pickup"], row["dropoff"]  # two columns each
    row["pickup_lat"], row["pickup_lng"] = _coordinates(order.pickup)
    row["dropoff_lat"], row["dropoff_lng"] = _coordinates(order.dropoff)
    return _encoder.encode(row)


def updated_row(order: Order, receipt: Receipt | None) -> bytes:
    """An order after a transition, its event, and the receipt of the event that caused it, as a JSON object for
    `orders.save`."""
    return _encoder.encode(
        {
            "id": order.id,
            "stored_version": order.stored_version,
            "status": order.status,
            "driver_id": order.driver_id,
            "reason": order.reason,
            "version": order.version,
            "consumer": receipt and receipt.consumer,
            "handled_event_id": receipt and receipt.event_id,
            "outcome": order.status.value.lower(),
            "exclusion_seconds": order.exclusion_seconds or None,
            **_transition(order),
        }
    )


def changed_row(order: Order) -> bytes:
    """An order after a change of its data, and its event, as a JSON object for `orders.change`."""
    data = {name: getattr(order, name) for name in CHANGEABLE}
    return _encoder.encode(
        {
            "id": order.id,
            "stored_version": order.stored_version,
            "version": order.version,
            "created_as": order.created_as,
            **data,
            **_transition(order),
        }
    )


def json_array(rows: Sequence[bytes]) -> str:
    """The rows as one JSON array."""
    return (b"[" + b",".join(rows) + b"]").decode()


def order_of(row: DictRow) -> Order:
    """The order in a row of `order_details` (sql/queries/orders.sql)."""
    columns = {name: value for name, value in row.items() if name not in _PLACE_COLUMNS}
    columns["status"] = Status(row["status"])
    columns["reason"] = Reason(row["reason"]) if row["reason"] else None
    columns["items"] = _items(row["items"])
    if (created_as := row["created_as"]) and "items" in created_as:
        columns["created_as"] = {**created_as, "items": _items(created_as["items"])}
    return Order(
        **columns,
        pickup=_place(row["pickup_lat"], row["pickup_lng"]),
        dropoff=_place(row["dropoff_lat"], row["dropoff_lng"]),
    )


_PLACE_COLUMNS = frozenset({"pickup_lat", "pickup_lng", "dropoff_lat", "dropoff_lng"})


def _items(stored: Sequence[Mapping[str, Any]] | None) -> tuple[Item, ...] | None:
    return None if stored is None else tuple(Item(**item) for item in stored)


def _transition(order: Order) -> dict[str, object]:
    (event,) = order.pending_events  # exactly one per transition, as one version of the row has one event
    traceparent = current_traceparent()
    return {
        "moved_by": order.actor,
        "trace_id": traceparent and trace_id_of(traceparent),
        "event_id": event.event_id,
        "seq": event.sequence,
        "event_type": event.type,
        "payload": msgspec.Raw(to_json(event)),
        "traceparent": traceparent,
    }


def _coordinates(place: Place | None) -> tuple[float, float] | tuple[None, None]:
    return (None, None) if place is None else (place.lat, place.lng)


def _place(lat: float | None, lng: float | None) -> Place | None:
    return None if lat is None or lng is None else Place(lat, lng)
