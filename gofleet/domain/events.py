"""What happened to an order, as the world hears of it.

Each event travels as one JSON object whose `type` is also its routing key. Fields are only ever added;
a change that would break a reader raises `version`.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec

from gofleet.domain.errors import Malformed
from gofleet.domain.values import IDENTIFIER, new_id

ORDERS_CREATED = "orders.created"
ORDERS_DISPATCHED = "orders.dispatched"
ORDERS_MANUAL_DISPATCH = "orders.manual_dispatch"
ORDERS_DELIVERED = "orders.delivered"
ORDERS_CANCELLED = "orders.cancelled"
ORDERS_REDISPATCHED = "orders.redispatched"
ORDERS_DISPATCH_REQUESTED = "orders.dispatch_requested"

VERSION = 1
"""Of what an event says; a reader that knows only this one must not guess at another."""


def _field(text: str, *examples: object, **more: Any) -> Any:
    """What consumers are told of a field; `more` are words of JSON Schema, told and not checked."""
    return msgspec.Meta(description=text, examples=list(examples) or None, extra_json_schema=more or None)


_EVENT_ID = "0198c0de-0000-7000-8000-000000000001"
_ID = {"pattern": f"^{IDENTIFIER.pattern}$"}
_Money = Annotated[Decimal, _field("An exact JSON number with two decimals.", 100.0, minimum=0)]
_DriverId = Annotated[str, _field("Id of the driver.", "maria", **_ID)]


class Coordinates(msgspec.Struct, frozen=True):
    """A place on the wire, in degrees."""

    lat: Annotated[float, _field("Latitude, degrees (WGS 84).", -23.5505, minimum=-90, maximum=90)]
    lng: Annotated[float, _field("Longitude, degrees (WGS 84).", -46.6333, minimum=-180, maximum=180)]


class OrderEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="orders"):
    """`sequence` is the order's version after the move: 1, 2, ... without gaps.

    `occurred_at` is the time of the commit by the database's clock, so an event has it once it is kept.
    """

    order_id: Annotated[str, _field("Id of the order.", "pedido-teste-01", **_ID)]
    sequence: Annotated[int, _field("The order's version after it: 1, 2, ... without gaps.", 1, minimum=1)]
    event_id: Annotated[UUID, _field("Its own id; the same event may arrive more than once.", _EVENT_ID)] = (
        msgspec.field(default_factory=new_id)
    )
    version: Annotated[int, _field("Of what it says; fields may be added without a new one.", 1, minimum=1)] = VERSION
    occurred_at: Annotated[
        datetime | msgspec.UnsetType,
        _field("When it was committed, RFC 3339.", "2026-01-31T12:00:00.123456+00:00", format="date-time"),
    ] = msgspec.UNSET

    @property
    def type(self) -> str:
        """The routing key, such as `orders.created`."""
        return str(self.__struct_config__.tag)


class OrderCreated(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_CREATED):
    """An order was accepted, and waits for a driver."""

    price: _Money
    tax: _Money
    final_price: _Money
    pickup: Annotated[Coordinates | None, _field("Where the goods are; null: at the depot.")] = None
    dropoff: Annotated[Coordinates | None, _field("Where they go.")] = None
    customer_id: Annotated[str | None, _field("Who ordered, if that is known.")] = None


class OrderDispatched(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_DISPATCHED):
    """A driver has it."""

    driver_id: _DriverId


class OrderSentToManual(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_MANUAL_DISPATCH):
    """It was handed to people."""

    reason: Annotated[str, _field("Why; further ones may be added.", "no_driver")]


class OrderDelivered(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_DELIVERED):
    """It arrived; the driver is free again."""

    driver_id: _DriverId


class OrderCancelled(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_CANCELLED):
    """It was called off; `driver_id` is who was on the way, if anybody was."""

    driver_id: _DriverId | None = None


class OrderRedispatched(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_REDISPATCHED):
    """The order waits for a driver again; `driver_id` is who was taken off it, if anybody was."""

    driver_id: _DriverId | None = None


class DispatchRequested(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_DISPATCH_REQUESTED):
    """A command of the sweeper, not a move: the order still waits, and the news of that may have been lost.

    `sequence` is the version it waits at, `epoch` counts these commands since it began to wait: 1, 2, ...
    """

    epoch: Annotated[int, _field("Counts these commands since the order began to wait.", 1, minimum=1)]


AnyOrderEvent = (
    OrderCreated
    | OrderDispatched
    | OrderSentToManual
    | OrderDelivered
    | OrderCancelled
    | OrderRedispatched
    | DispatchRequested
)

EVENT_TYPES: tuple[str, ...] = (
    ORDERS_CREATED,
    ORDERS_DISPATCHED,
    ORDERS_MANUAL_DISPATCH,
    ORDERS_DELIVERED,
    ORDERS_CANCELLED,
    ORDERS_REDISPATCHED,
    ORDERS_DISPATCH_REQUESTED,
)

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(AnyOrderEvent)
_QUOTED = re.compile(r"(?<=value) .*(?= - at `)", re.DOTALL)
"""What msgspec quotes of a message: it may be anybody's data, and the reason is read by many."""


def to_json(event: OrderEvent) -> bytes:
    """The event as it is kept in the outbox and sent; money as JSON numbers, exact."""
    return _encoder.encode(event)


def from_json(body: bytes) -> AnyOrderEvent:
    """The event in `body`; `Malformed` if it is none of ours, or of a version that is not known here."""
    try:
        event = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(f"not an order event: {_QUOTED.sub('', str(error))}") from error
    if event.version != VERSION:
        raise Malformed(f"an order event of version {event.version}, and only version {VERSION} is known here")
    return event
