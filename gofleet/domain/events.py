"""Events about orders, as published to the broker.

Each event is one JSON object whose `type` is also its routing key. Fields are only ever added; a breaking change
raises `version`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec

from gofleet.domain.errors import Malformed, UnknownEventType
from gofleet.domain.values import IDENTIFIER, IDENTIFIER_SCHEMA, new_id

ORDERS_CREATED = "orders.created"
ORDERS_DISPATCHED = "orders.dispatched"
ORDERS_MANUAL_DISPATCH = "orders.manual_dispatch"
ORDERS_DELIVERED = "orders.delivered"
ORDERS_CANCELLED = "orders.cancelled"
ORDERS_REDISPATCHED = "orders.redispatched"
ORDERS_UPDATED = "orders.updated"
ORDERS_DISPATCH_REQUESTED = "orders.dispatch_requested"

VERSION = 1
"""Version of the event format; a consumer must refuse versions it does not know."""


def _field(text: str, *examples: object, **more: Any) -> Any:
    """Description and examples of a field; `more` are JSON Schema keywords, documented but not validated here."""
    return msgspec.Meta(description=text, examples=list(examples) or None, extra_json_schema=more or None)


_EVENT_ID = "0198c0de-0000-7000-8000-000000000001"
_ID = {"pattern": IDENTIFIER_SCHEMA["pattern"]}
_Money = Annotated[Decimal, _field("An exact JSON number with two decimals.", 100.0, minimum=0)]
_Reference = Annotated[str | msgspec.UnsetType, _field("The client's own number of the order.", "A-1001")]
_Metadata = Annotated[
    Mapping[str, str] | msgspec.UnsetType, _field("The client's own names and values.", {"shop": "centro"})
]
_DriverId = Annotated[str, _field("Id of the driver.", "maria", **_ID)]


class Coordinates(msgspec.Struct, frozen=True):
    """Latitude and longitude in degrees (WGS 84)."""

    lat: Annotated[float, _field("Latitude, degrees (WGS 84).", -23.5505, minimum=-90, maximum=90)]
    lng: Annotated[float, _field("Longitude, degrees (WGS 84).", -46.6333, minimum=-180, maximum=180)]


class OrderEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="orders"):
    """Event about one order.

    `sequence` is the order's version after the transition: 1, 2, ... without gaps. `occurred_at` is the commit time by
    the database's clock, set when the event is stored.
    """

    order_id: Annotated[str, _field("Id of the order.", "pedido-teste-01", **_ID)]
    sequence: Annotated[int, _field("The order's version after the event: 1, 2, ... without gaps.", 1, minimum=1)]
    event_id: Annotated[UUID, _field("Id of the event; the same event may arrive more than once.", _EVENT_ID)] = (
        msgspec.field(default_factory=new_id)
    )
    version: Annotated[int, _field("Version of the event format; added fields do not change it.", 1, minimum=1)] = (
        VERSION
    )
    occurred_at: Annotated[
        datetime | msgspec.UnsetType,
        _field("Time of the commit, RFC 3339.", "2026-01-31T12:00:00.123456+00:00", format="date-time"),
    ] = msgspec.UNSET

    @property
    def type(self) -> str:
        """The routing key, such as `orders.created`."""
        return str(self.__struct_config__.tag)


class OrderCreated(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_CREATED):
    """An order was accepted and waits for a driver."""

    price: _Money
    tax: _Money
    final_price: _Money
    pickup: Annotated[Coordinates | None, _field("Pickup; null means the depot.")] = None
    dropoff: Annotated[Coordinates | None, _field("Destination.")] = None
    customer_id: Annotated[str | None, _field("Id of the customer, if known.")] = None
    client_order_id: Annotated[str | None, _field("The customer's own id of the order, if the customer named it.")] = (
        None
    )
    reference: _Reference = msgspec.UNSET
    metadata: _Metadata = msgspec.UNSET


class OrderDispatched(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_DISPATCHED):
    """The order was assigned to a driver."""

    driver_id: _DriverId


class OrderSentToManual(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_MANUAL_DISPATCH):
    """The order was escalated to manual dispatch."""

    reason: Annotated[str, _field("Reason of the escalation; new values may be added.", "no_driver")]


class OrderDelivered(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_DELIVERED):
    """The order was delivered; its driver is free again."""

    driver_id: _DriverId


class OrderCancelled(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_CANCELLED):
    """The order was cancelled; `driver_id` is the driver it was assigned to, if any."""

    driver_id: _DriverId | None = None


class OrderRedispatched(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_REDISPATCHED):
    """The order waits for a driver again; `driver_id` is the driver it was taken from, if any."""

    driver_id: _DriverId | None = None


class OrderUpdated(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_UPDATED):
    """Data of the order was changed, which no dispatch depends on; `reference` and `metadata` are those after it."""

    changed: Annotated[list[str], _field("Names of the changed fields; new names may be added.", ["metadata"])]
    reference: _Reference = msgspec.UNSET
    metadata: _Metadata = msgspec.UNSET


class DispatchRequested(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_DISPATCH_REQUESTED):
    """Command to dispatch an order that still waits although its event was published, which may have been lost.

    Not a transition: `sequence` is the order's current version, `epoch` counts these commands since the order began to
    wait: 1, 2, ...
    """

    epoch: Annotated[int, _field("Number of this command since the order began to wait.", 1, minimum=1)]


AnyOrderEvent = (
    OrderCreated
    | OrderDispatched
    | OrderSentToManual
    | OrderDelivered
    | OrderCancelled
    | OrderRedispatched
    | OrderUpdated
    | DispatchRequested
)

EVENT_TYPES: tuple[str, ...] = (
    ORDERS_CREATED,
    ORDERS_DISPATCHED,
    ORDERS_MANUAL_DISPATCH,
    ORDERS_DELIVERED,
    ORDERS_CANCELLED,
    ORDERS_REDISPATCHED,
    ORDERS_UPDATED,
    ORDERS_DISPATCH_REQUESTED,
)

COUNTER_MAX = 2**31 - 1
_IDS, _COUNTERS = ("order_id", "driver_id", "customer_id", "client_order_id"), ("sequence", "epoch")
_TYPE = re.compile(r"(?:orders|offers)\.[a-z_]{1,40}")


class _Typed(msgspec.Struct):
    type: str


_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(AnyOrderEvent)
_QUOTED = re.compile(r"(?<=value) .*(?= - at `)", re.DOTALL)
"""Values that msgspec quotes in its errors: they may be personal data, and errors go to logs and lists."""


def is_of_a_later_release(type: str) -> bool:
    """Whether `type` names an event of ours that this release does not know."""
    return type not in EVENT_TYPES and _TYPE.fullmatch(type) is not None


def to_json(event: OrderEvent) -> bytes:
    """JSON of the event, as stored in the outbox and published; amounts are exact JSON numbers."""
    return _encoder.encode(event)


def from_json(body: bytes) -> AnyOrderEvent:
    """The event in `body`; `Malformed` if it is not an order event or its version is unknown, `UnknownEventType` for an
    event of a type of its own."""
    try:
        event = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        if type := _unknown_type(body):
            raise UnknownEventType(type) from error
        raise Malformed(f"not an order event: {_QUOTED.sub('', str(error))}") from error
    if event.version != VERSION:
        raise Malformed(f"an order event of version {event.version}; only version {VERSION} is supported")
    for name in _IDS:
        if (id := getattr(event, name, None)) is not None and not IDENTIFIER.fullmatch(id):
            raise Malformed(f"not an order event: {name} is not an identifier")
    for name in _COUNTERS:
        if not 1 <= getattr(event, name, 1) <= COUNTER_MAX:
            raise Malformed(f"not an order event: {name} is not between 1 and {COUNTER_MAX}")
    return event


def _unknown_type(body: bytes) -> str | None:
    """The type of an event that this release does not know; None for another body."""
    try:
        type = msgspec.json.decode(body, type=_Typed).type
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return type if is_of_a_later_release(type) else None
