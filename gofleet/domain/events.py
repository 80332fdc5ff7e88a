"""What happened to an order, as the world hears of it.

Each event travels as one JSON object whose `type` is also its routing key. Fields are only ever added;
a change that would break a reader raises `version`.
"""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import msgspec

from gofleet.domain.errors import Malformed
from gofleet.domain.ids import new_id

ORDERS_CREATED = "orders.created"
ORDERS_DISPATCHED = "orders.dispatched"
ORDERS_MANUAL_DISPATCH = "orders.manual_dispatch"
ORDERS_DELIVERED = "orders.delivered"
ORDERS_CANCELLED = "orders.cancelled"
ORDERS_REDISPATCHED = "orders.redispatched"
ORDERS_DISPATCH_REQUESTED = "orders.dispatch_requested"

VERSION = 1
"""Of what an event says; a reader that knows only this one must not guess at another."""


class Spot(msgspec.Struct, frozen=True):
    """A place on the wire, in degrees."""

    lat: float
    lng: float


class OrderEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="orders"):
    """`sequence` is the order's version after the move: 1, 2, ... without gaps."""

    order_id: str
    sequence: int
    event_id: UUID = msgspec.field(default_factory=new_id)
    version: int = VERSION

    @property
    def type(self) -> str:
        """The routing key, such as `orders.created`."""
        return str(self.__struct_config__.tag)


class OrderCreated(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_CREATED):
    price: Decimal
    tax: Decimal
    final_price: Decimal
    pickup: Spot | None = None
    dropoff: Spot | None = None
    customer_id: str | None = None


class OrderDispatched(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_DISPATCHED):
    driver_id: str


class OrderSentToManual(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_MANUAL_DISPATCH):
    reason: str


class OrderDelivered(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_DELIVERED):
    driver_id: str


class OrderCancelled(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_CANCELLED):
    """`driver_id` is who was on the way, if anybody was."""

    driver_id: str | None = None


class OrderRedispatched(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_REDISPATCHED):
    """The order waits for a driver again; `driver_id` is who was taken off it, if anybody was."""

    driver_id: str | None = None


class DispatchRequested(OrderEvent, frozen=True, kw_only=True, tag=ORDERS_DISPATCH_REQUESTED):
    """A command of the sweeper, not a move: the order still waits, and the news of that may have been lost.

    `sequence` is the version it waits at, `epoch` counts these commands since it began to wait: 1, 2, ...
    """

    epoch: int


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


def to_json(event: OrderEvent) -> bytes:
    """The event as it is kept in the outbox and sent; money as JSON numbers, exact."""
    return _encoder.encode(event)


def from_json(body: bytes) -> AnyOrderEvent:
    """The event in `body`; `Malformed` if it is none of ours, or of a version that is not known here."""
    try:
        event = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(f"not an order event: {error}") from error
    if event.version != VERSION:
        raise Malformed(f"an order event of version {event.version}, and only version {VERSION} is known here")
    return event
