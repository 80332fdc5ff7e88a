"""Orders in requests and responses. Amounts are JSON numbers outside and exact decimals inside."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from gofleet.adapters.http.auth import CallerDependency
from gofleet.adapters.http.faults import with_all_faults
from gofleet.adapters.http.fields import (
    DISPLAYED,
    NOT_ZERO,
    ClientOrderId,
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
from gofleet.adapters.http.pagination import Cursor, parse_order_cursor
from gofleet.adapters.http.query import AN_ID, Checked
from gofleet.adapters.http.validation import id_filter, parse_identifier, parse_time_parameter, query_filter
from gofleet.domain import order_data
from gofleet.domain.errors import Invalid
from gofleet.domain.order import Order, OrderFilter, Reason, Status
from gofleet.domain.order_ids import RESERVED, OrderName
from gofleet.domain.place import Place
from gofleet.domain.principal import Actor


class GeoPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place in degrees (WGS 84)."""

    lat: Lat
    lng: Lng

    def place(self) -> Place:
        return Place(self.lat, self.lng)

    def check(self) -> None:
        """`Invalid` for 0/0."""
        self.place().checked("")


REFERENCE_SCHEMA: dict[str, Any] = {**DISPLAYED, "maxLength": order_data.REFERENCE_CHARS_MAX}


class OrderItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods of an order."""

    name: Annotated[
        str,
        described(
            "What it is: printable.",
            "Pizza Margherita",
            check=order_data.item_name,
            **DISPLAYED,
            maxLength=order_data.ITEM_NAME_CHARS_MAX,
        ),
    ]
    quantity: Annotated[
        int, described("How many of it.", 2, check=order_data.quantity, minimum=1, maximum=order_data.QUANTITY_MAX)
    ]


def checked_pairs(field: str, pairs: dict[str, str | None]) -> None:
    """`Invalid` for pairs that metadata may not have."""
    order_data.checked_metadata(field, {key: value or "" for key, value in pairs.items()})


Reference = Annotated[
    str,
    described(
        "The client's own number of the order: printable, need not be unique.",
        "A-1001",
        check=order_data.reference,
        **REFERENCE_SCHEMA,
    ),
]
Items = Annotated[
    list[OrderItem],
    described(
        "Goods, for dispatchers and couriers to read; no dispatch depends on them.",
        check=order_data.item_count,
        maxItems=order_data.ITEMS_MAX,
    ),
]
Metadata = Annotated[
    dict[str, Annotated[str, described("A value.", maxLength=order_data.METADATA_VALUE_CHARS_MAX)]],
    described(
        "The client's own names and values, passed on in the order and in its `orders.created` event.",
        {"shop": "centro"},
        check=order_data.checked_metadata,
        maxProperties=order_data.METADATA_MAX,
        propertyNames={"minLength": 1, "maxLength": order_data.METADATA_KEY_CHARS_MAX},
    ),
]


class NewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order to be created. Without an `id` and an `Idempotency-Key` the server generates the id. Amounts have at
    most two decimals."""

    price: Price
    tax: Tax
    id: Annotated[
        OrderId | None,
        described(
            "Repeating a request with the same id and content is safe. An id that a customer sends is the"
            " customer's own, and becomes `client_order_id`; the order's `id` is then another, `own-` and 32 digits."
        ),
    ] = None
    pickup: Annotated[GeoPoint | None, described("Pickup of the goods; by default the depot.", **NOT_ZERO)] = None
    dropoff: Annotated[GeoPoint | None, described("Destination of the goods.", **NOT_ZERO)] = None
    customer_id: Annotated[
        CustomerId | None,
        described("Customer of the order. A customer's own orders always belong to that customer."),
    ] = None
    reference: Reference | None = None
    items: Items | None = None
    metadata: Metadata | None = None

    def check(self) -> None:
        """`Invalid` for values that are valid one by one but not together."""
        self._order(OrderName(self.id), by="", customer_id=None)

    def to_order(self, name: OrderName, *, by: Actor, customer_id: str | None = None) -> Order:
        """The order of that name, requested by `by` for that customer; raises `Invalid`, or `InvalidValues` for several
        faults, if the domain rejects it or its id is reserved."""
        try:
            return self._order(name, by=by, customer_id=customer_id)
        except Invalid as error:
            raise with_all_faults(error, self) from error

    def _order(self, name: OrderName, *, by: Actor, customer_id: str | None) -> Order:
        if self.id in RESERVED:
            raise Invalid("id", f"must not be {self.id}, which is a reserved word")
        return Order.create(
            name.id,
            _decimal(self.price),
            _decimal(self.tax),
            by=by,
            pickup=self.pickup and self.pickup.place(),
            dropoff=self.dropoff and self.dropoff.place(),
            customer_id=customer_id,
            client_order_id=name.client_order_id,
            reference=self.reference,
            items=[order_data.Item(item.name, item.quantity) for item in self.items or ()],
            metadata=self.metadata,
        )


class OrderChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of an order's data. Fields that are left out stay as they are; null removes a value."""

    reference: Reference | msgspec.UnsetType | None = msgspec.UNSET
    items: Items | msgspec.UnsetType | None = msgspec.UNSET
    metadata: Annotated[
        dict[str, str | None] | msgspec.UnsetType | None,
        described(
            "Pairs to add or to replace; null removes a pair.",
            {"shop": "norte", "till": None},
            check=checked_pairs,
            maxProperties=order_data.METADATA_MAX,
            propertyNames={"minLength": 1, "maxLength": order_data.METADATA_KEY_CHARS_MAX},
        ),
    ] = msgspec.UNSET

    def wanted(self) -> dict[str, Any]:
        """The new values by the names of the fields."""
        values: dict[str, Any] = {}
        for name in order_data.CHANGEABLE:
            if (value := getattr(self, name)) is not msgspec.UNSET:
                values[name] = value
        if values.get("items"):
            values["items"] = [order_data.Item(item.name, item.quantity) for item in values["items"]]
        return values


class OrderView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order. Fields that may be missing are those that the client did not send."""

    id: OrderId
    client_order_id: ClientOrderId | None
    price: Annotated[float, described("Price without tax.", 100.0)]
    tax: Annotated[float, described("Tax on the price.", 10.0)]
    final_price: Annotated[float, described("Price plus tax.", 110.0)]
    status: Annotated[Status, described("Current status.", "DISPATCHED")]
    pickup: Annotated[GeoPoint | None, described("Pickup of the goods; null: the depot.")]
    dropoff: Annotated[GeoPoint | None, described("Destination of the goods.")]
    customer_id: Annotated[CustomerId | None, described("Customer of the order, if one is known.", None)]
    driver_id: Annotated[DriverId | None, described("Driver of the order, or the last one if it has ended.")]
    reason: Annotated[
        Reason | None, described("Reason for the escalation to manual dispatch, while it awaits it.", None)
    ]
    version: Version
    created_at: Annotated[datetime | None, timestamp("Time of acceptance.")]
    waiting_since: Annotated[
        datetime | None, timestamp("Time since which the order waits for a driver; null if it does not.", None)
    ]
    dispatched_at: Annotated[datetime | None, timestamp("Time at which the driver was assigned.")]
    delivered_at: Annotated[datetime | None, timestamp("Time of delivery.", None)]
    cancelled_at: Annotated[datetime | None, timestamp("Time of cancellation.", None)]
    reference: Reference | None = None
    items: Items | None = None
    metadata: Metadata | None = None


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of orders, newest first."""

    items: Annotated[list[OrderView], described("Orders of this page, at most `limit`.")]
    next_cursor: NextCursor


def order_filter(
    *,
    caller: CallerDependency,
    status: Annotated[Status | None, query_filter("Only orders in this status.", "PENDING")] = None,
    driver_id: Annotated[str | None, id_filter("Only orders of this driver.", "maria"), AN_ID] = None,
    reference: Annotated[
        str | None,
        query_filter("Only orders with this reference of the client.", "A-1001", **REFERENCE_SCHEMA),
        Checked(order_data.reference),
    ] = None,
    created_after: Annotated[
        str | None,
        query_filter(
            "Only orders accepted after this time, which needs a time zone.",
            "2026-01-31T12:00:00Z",
            format="date-time",
        ),
        Checked(parse_time_parameter),
    ] = None,
    cursor: Cursor = None,
) -> OrderFilter:
    """The filter in the query of a list of orders, restricted to the caller's own orders."""
    return OrderFilter(
        status=status,
        driver_id=None if driver_id is None else parse_identifier("driver_id", driver_id),
        reference=None if reference is None else order_data.reference("reference", reference),
        created_after=None if created_after is None else parse_time_parameter("created_after", created_after),
        before=parse_order_cursor(cursor),
        owner=caller.owner,
    )


class AssignOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Assignment of an order to a driver."""

    driver_id: DriverId


def order_view(order: Order) -> OrderView:
    """The order in its current state."""
    return msgspec.convert(order, OrderView, from_attributes=True)


def created_order_view(order: Order) -> OrderView:
    """The order in the state in which it was accepted, whatever its current state is."""
    return msgspec.structs.replace(
        order_view(order.as_created),
        status=Status.PENDING,
        version=1,
        driver_id=None,
        reason=None,
        waiting_since=order.created_at,
        dispatched_at=None,
        delivered_at=None,
        cancelled_at=None,
    )


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))  # the shortest decimal that means this float: what the client wrote, not 0.1000...0555
