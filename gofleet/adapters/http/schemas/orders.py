"""What goes in and out over REST. Numbers are JSON numbers; inside they are exact decimals."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from gofleet.adapters.http.fields import (
    NOT_ZERO,
    Count,
    CustomerId,
    DriverId,
    Lat,
    Lng,
    NextCursor,
    OrderId,
    Price,
    Tax,
    Version,
    described,
    timestamp,
)
from gofleet.domain.errors import Invalid
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.place import Place
from gofleet.domain.principal import Actor

RESERVED = frozenset({"stream"})
"""No order's id: `GET /orders/stream` is something else."""


class GeoPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place in degrees (WGS 84)."""

    lat: Lat
    lng: Lng

    def place(self) -> Place:
        return Place(self.lat, self.lng)


class NewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order as a client asks for it. Without an id it gets one; amounts have at most two decimals."""

    price: Price
    tax: Tax
    id: Annotated[OrderId | None, described("Asking again with the same id and content is safe.")] = None
    pickup: Annotated[GeoPoint | None, described("Where the goods are; without, at the depot.", **NOT_ZERO)] = None
    dropoff: Annotated[GeoPoint | None, described("Where they go.", **NOT_ZERO)] = None
    customer_id: Annotated[
        CustomerId | None, described("For whom it is; a customer's own orders are theirs without being told.")
    ] = None

    def order(self, *, by: Actor, customer_id: str | None = None) -> Order:
        """The order that `by` asked for, for that customer; `Invalid` if the domain refuses it, or its id is the name
        of a route."""
        if self.id in RESERVED:
            raise Invalid("id", f"must not be {self.id}, which is a reserved word")
        return Order.create(
            self.id,
            _decimal(self.price),
            _decimal(self.tax),
            by=by,
            pickup=self.pickup and self.pickup.place(),
            dropoff=self.dropoff and self.dropoff.place(),
            customer_id=customer_id,
        )


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order as clients see it."""

    id: OrderId
    price: Annotated[float, described("Without tax.", 100.0)]
    tax: Annotated[float, described("The tax on it.", 10.0)]
    final_price: Annotated[float, described("Price and tax.", 110.0)]
    status: Annotated[Status, described("What has become of it.", "DISPATCHED")]
    pickup: Annotated[GeoPoint | None, described("Where the goods are; null: at the depot.")]
    dropoff: Annotated[GeoPoint | None, described("Where they go.")]
    customer_id: Annotated[CustomerId | None, described("For whom it is, if that was said.", None)]
    driver_id: Annotated[DriverId | None, described("Who has it, or had it when it ended.")]
    reason: Annotated[Reason | None, described("Why people have to see to it, while they have.", None)]
    version: Version
    created_at: Annotated[datetime | None, timestamp("When it was accepted.")]
    dispatched_at: Annotated[datetime | None, timestamp("When its driver was found.")]
    delivered_at: Annotated[datetime | None, timestamp("When it was handed over.", None)]
    cancelled_at: Annotated[datetime | None, timestamp("When it was called off.", None)]


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some orders, newest first; `next_cursor` asks for the ones after them, null at the end."""

    items: Annotated[list[OrderView], described("At most as many as asked for.")]
    next_cursor: NextCursor


class AssignOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is to have the order."""

    driver_id: DriverId


class AcceptedCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many were asked for."""

    requested: Count


def order_view(order: Order) -> OrderView:
    """The order as it is now."""
    return OrderView(
        id=order.id,
        price=float(order.price),
        tax=float(order.tax),
        final_price=float(order.final_price),
        status=order.status,
        pickup=_point(order.pickup),
        dropoff=_point(order.dropoff),
        customer_id=order.customer_id,
        driver_id=order.driver_id,
        reason=order.reason,
        version=order.version,
        created_at=_utc(order.created_at),
        dispatched_at=_utc(order.dispatched_at),
        delivered_at=_utc(order.delivered_at),
        cancelled_at=_utc(order.cancelled_at),
    )


def created_order_view(order: Order) -> OrderView:
    """The order as it was when it was accepted, whatever became of it since."""
    return msgspec.structs.replace(
        order_view(order),
        status=Status.PENDING,
        version=1,
        driver_id=None,
        reason=None,
        dispatched_at=None,
        delivered_at=None,
        cancelled_at=None,
    )


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))  # the shortest decimal that means this float: what the client wrote, not 0.1000...0555


def _point(place: Place | None) -> GeoPoint | None:
    return None if place is None else GeoPoint(lat=place.lat, lng=place.lng)


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(UTC)
