"""Orders as rows: what a statement is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from gofleet.domain.events import to_json
from gofleet.domain.messages import Receipt
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.place import Place
from gofleet.telemetry.tracing import current_trace_id, current_traceparent

_encoder = msgspec.json.Encoder(decimal_format="number")  # exact: PostgreSQL reads them as numeric


def new_row(order: Order) -> bytes:
    """A new order and its event, as a JSON object for `orders.add`."""
    return _encoder.encode(
        {
            "id": order.id,
            "customer_id": order.customer_id,
            "price": order.price,
            "tax": order.tax,
            "final_price": order.final_price,
            "pickup_lat": order.pickup and order.pickup.lat,
            "pickup_lng": order.pickup and order.pickup.lng,
            "dropoff_lat": order.dropoff and order.dropoff.lat,
            "dropoff_lng": order.dropoff and order.dropoff.lng,
            **_move(order),
        }
    )


def moved_row(order: Order, receipt: Receipt | None) -> bytes:
    """A moved order, its event and the receipt for the event that moved it, as a JSON object for `orders.save`."""
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
            **_move(order),
        }
    )


def array(rows: Sequence[bytes]) -> str:
    """The rows as one JSON array."""
    return (b"[" + b",".join(rows) + b"]").decode()


def order_of(columns: Any) -> Order:
    """The order in a row of `orders.get` and its like."""
    row = _OrderRow(*columns)
    return Order(
        id=row.id,
        customer_id=row.customer_id,
        price=row.price,
        tax=row.tax,
        final_price=row.final_price,
        pickup=_place(row.pickup_lat, row.pickup_lng),
        dropoff=_place(row.dropoff_lat, row.dropoff_lng),
        status=Status(row.status),
        driver_id=row.driver_id,
        reason=Reason(row.reason) if row.reason else None,
        version=row.version,
        created_at=row.created_at,
        pending_since=row.pending_since,
        dispatched_at=row.dispatched_at,
        delivered_at=row.delivered_at,
        cancelled_at=row.cancelled_at,
        as_of=row.as_of,
    )


class _OrderRow(NamedTuple):
    id: str
    customer_id: str | None
    price: Decimal
    tax: Decimal
    final_price: Decimal
    pickup_lat: float | None
    pickup_lng: float | None
    dropoff_lat: float | None
    dropoff_lng: float | None
    status: str
    driver_id: str | None
    reason: str | None
    version: int
    created_at: datetime
    pending_since: datetime
    dispatched_at: datetime | None
    delivered_at: datetime | None
    cancelled_at: datetime | None
    as_of: datetime


def _move(order: Order) -> dict[str, object]:
    (event,) = order.pending_events  # one move, one event: more could not be kept by one version of the row
    return {
        "moved_by": order.actor,
        "trace_id": current_trace_id(),
        "event_id": event.event_id,
        "seq": event.sequence,
        "event_type": event.type,
        "payload": msgspec.Raw(to_json(event)),
        "traceparent": current_traceparent(),
    }


def _place(lat: float | None, lng: float | None) -> Place | None:
    return None if lat is None or lng is None else Place(lat, lng)
