"""Messages between the roles, independent of the broker: headers, queues and outcomes of handling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gofleet.domain import events
from gofleet.domain.errors import Malformed
from gofleet.domain.values import IDENTIFIER

EVENT_ID = "x-event-id"
EVENT_TYPE = "x-event-type"
EVENT_VERSION = "x-event-version"
AGGREGATE_ID = "x-aggregate-id"
SEQUENCE = "x-sequence"
ATTEMPT = "x-attempt"
"""Our own attempt counter, which every retry copy has, also after attempts that do not count; the counters of brokers
differ between products and versions."""
CRASHES = "x-crashes"
"""How many consumers were lost while they had the message. Adapters add the broker's own count to the header of earlier
copies, and set it when a message is received: the broker counts the deliveries of one copy only."""
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
"""Queue -> the event types bound to it. A message that a role waits for is refused while no queue takes it."""
FOR_OTHERS = frozenset({events.ORDERS_UPDATED})
"""Event types that no role consumes."""


def needs_queue(type: str) -> bool:
    """Whether a role waits for messages of the type: not for those that only others consume, nor for types of a later
    release, which are for the queues of that release."""
    return type not in FOR_OTHERS and not events.is_of_a_later_release(type)


PARKING = ".parking"


def parking_queue(queue: str) -> str:
    """Name of the dead-letter queue, for messages that keep crashing their consumer."""
    return queue + PARKING


def home_queue(queue: str) -> str:
    """Name of the work queue: `queue` itself, or the one that the parking queue `queue` belongs to."""
    return queue.removesuffix(PARKING)


SUSPECT_CRASHES = 2


@dataclass(frozen=True)
class Message:
    """Outgoing event, as the relay passes it to the broker."""

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
    """Message as received from the broker, not yet validated: body and headers may be anything."""

    queue: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def attempt(self) -> int:
        """Number of counted attempts before this one."""
        return _count(self.headers.get(ATTEMPT, "0"))

    @property
    def crashes(self) -> int:
        """Number of deliveries before this one that ended in a lost consumer; the message may be at fault."""
        return _count(self.headers.get(CRASHES, "0"))

    @property
    def is_first(self) -> bool:
        """Whether, as far as known, no consumer had the message before. Copies of the release before look like that."""
        return ATTEMPT not in self.headers and not self.crashes

    @property
    def is_suspect(self) -> bool:
        """Whether the message lost enough consumers to be handled alone."""
        return self.crashes >= SUSPECT_CRASHES

    @property
    def event_id(self) -> str:
        """The idempotency key; `Malformed` without one."""
        if not (found := self.headers.get(EVENT_ID, "")):
            raise Malformed(f"no {EVENT_ID} header")
        if not IDENTIFIER.fullmatch(found):
            raise Malformed(f"the {EVENT_ID} header is not an identifier")
        return found

    def event(self) -> events.AnyOrderEvent:
        """The event in the body; `Malformed` if it is invalid or its id differs from the header's."""
        event = events.from_json(self.body)
        if str(event.event_id) != self.event_id:
            raise Malformed(f"{EVENT_ID} is {self.event_id} in the header and {event.event_id} in the body")
        return event


def with_crashes(headers: Mapping[str, str], redeliveries: int) -> dict[str, str]:
    """The headers of a received message, with the broker's count of lost consumers added to our own."""
    crashes = _count(headers.get(CRASHES, "0")) + redeliveries
    return {**headers, CRASHES: str(crashes)} if crashes else dict(headers)


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


@dataclass(frozen=True)
class Receipt:
    """Inbox row: proof that `consumer` applied the event."""

    consumer: str
    event_id: str


@dataclass(frozen=True)
class Ack:
    """The message is handled; the broker may delete it. `verdict` is how, for metrics and logs."""

    verdict: str = "done"


@dataclass(frozen=True)
class Retry:
    """The message is to be redelivered after about `seconds`; a `counted` attempt counts towards parking it."""

    seconds: float
    counted: bool = False


Outcome = Ack | Retry
Handler = Callable[[Delivery], Awaitable[Outcome]]
ACK = Ack()
UNKNOWN_TYPE = Ack("unknown_type")
"""An event of a type that a later release has added: not for this one."""
