"""Messages between the roles, whatever broker carries them: headers, queues, and what may become of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gofleet.domain import events
from gofleet.domain.errors import Malformed

EVENT_ID = "x-event-id"
EVENT_TYPE = "x-event-type"
EVENT_VERSION = "x-event-version"
AGGREGATE_ID = "x-aggregate-id"
SEQUENCE = "x-sequence"
ATTEMPT = "x-attempt"
"""Our own count of tries; what brokers count differs between them and between their versions."""
TRACEPARENT = "traceparent"

DISPATCH_QUEUE = "orders.created"
FLEET_QUEUE = "fleet.drivers"

QUEUES: dict[str, tuple[str, ...]] = {
    DISPATCH_QUEUE: (events.ORDERS_CREATED, events.ORDERS_REDISPATCHED, events.ORDERS_DISPATCH_REQUESTED),
    FLEET_QUEUE: (
        events.ORDERS_DISPATCHED,
        events.ORDERS_MANUAL_DISPATCH,
        events.ORDERS_DELIVERED,
        events.ORDERS_CANCELLED,
        events.ORDERS_REDISPATCHED,
    ),
}
"""Queue -> the event types it receives. Every type has a queue, for a message that nobody receives is refused."""


PARKING = ".parking"


def parking_queue(queue: str) -> str:
    """Where the broker puts a message that keeps killing its consumer."""
    return queue + PARKING


def home_queue(queue: str) -> str:
    """Where a message of that queue is handled; for a parking queue that is the one whose messages it keeps."""
    return queue.removesuffix(PARKING)


@dataclass(frozen=True)
class Message:
    """An event on its way out: what the relay hands to a broker."""

    event_id: str
    type: str
    order_id: str
    sequence: int
    body: bytes
    traceparent: str | None = None

    def headers(self) -> dict[str, str]:
        headers = {
            EVENT_ID: self.event_id,
            EVENT_TYPE: self.type,
            EVENT_VERSION: str(events.VERSION),
            AGGREGATE_ID: self.order_id,
            SEQUENCE: str(self.sequence),
        }
        if self.traceparent:
            headers[TRACEPARENT] = self.traceparent
        return headers


@dataclass(frozen=True)
class Delivery:
    """A message as a broker handed it over, unread: body and headers may be anything."""

    queue: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def attempt(self) -> int:
        """How many counted tries went before this one."""
        text = self.headers.get(ATTEMPT, "0")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0

    @property
    def event_id(self) -> str:
        """The key of idempotency; `Malformed` without one."""
        if not (found := self.headers.get(EVENT_ID, "")):
            raise Malformed(f"no {EVENT_ID} header")
        return found

    def event(self) -> events.AnyOrderEvent:
        """What it says; `Malformed` if that is not an event of ours or the header names another."""
        event = events.from_json(self.body)
        if str(event.event_id) != self.event_id:
            raise Malformed(f"{EVENT_ID} says {self.event_id}, the body says {event.event_id}")
        return event


@dataclass(frozen=True)
class Receipt:
    """The proof, kept in the inbox, that `consumer` applied the event."""

    consumer: str
    event_id: str


@dataclass(frozen=True)
class Ack:
    """Handled for good: the broker may forget the message."""


@dataclass(frozen=True)
class Retry:
    """To be delivered again after about `seconds`; a `counted` try brings the message nearer to giving up."""

    seconds: float
    counted: bool = False


Outcome = Ack | Retry
Handler = Callable[[Delivery], Awaitable[Outcome]]
ACK = Ack()
