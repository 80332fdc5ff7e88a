"""Events of orders in responses: the history, the positions sent by the stream, and failed outbox events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from gofleet.adapters.http.fields import (
    ClientOrderId,
    Count,
    DriverId,
    Lat,
    Lng,
    NextCursor,
    OrderId,
    RowId,
    Version,
    described,
    timestamp,
)
from gofleet.domain.driver import DriverState, Sighting
from gofleet.domain.history import ChangeKind, HistoryEntry
from gofleet.domain.order import Reason, Status
from gofleet.ports import FailedEvent


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of an order."""

    order_id: OrderId
    client_order_id: ClientOrderId | None
    sequence: Version
    kind: Annotated[ChangeKind, described("Event type.", "orders.dispatched")] = msgspec.field(name="type")
    status: Annotated[Status, described("Status of the order after the transition.", "DISPATCHED")]
    driver_id: Annotated[
        DriverId | None,
        described(
            "Driver of the order after the transition, or the last one if it has ended. Drivers see only themselves."
        ),
    ]
    reason: Annotated[Reason | None, described("Reason for the escalation to manual dispatch, if it was one.", None)]
    actor: Annotated[
        str,
        described(
            "Actor of the transition: `worker`, `sweeper`, or a principal by role and name; `client` without"
            " authentication, `unknown` before actors were recorded. Callers restricted to their own orders see the"
            " roles of other principals, not their names.",
            "worker",
        ),
    ]
    at: Annotated[datetime, timestamp("Time of the transition.")]
    trace_id: Annotated[str | None, described("Id of the trace of the transition.", "4bf92f3577b34da6a3ce929d0e0e4736")]

    @classmethod
    def of(cls, entry: HistoryEntry) -> EventView:
        return msgspec.convert(entry, cls, from_attributes=True)


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """The history of an order."""

    items: Annotated[list[EventView], described("Transitions of the order, oldest first.")]
    truncated: Annotated[bool, described("Whether later transitions are missing from `items`.", False)]


class DriverPositionView(msgspec.Struct, frozen=True, kw_only=True):
    """The current position of a driver."""

    driver_id: DriverId
    lat: Lat
    lng: Lng
    recorded_at: Annotated[datetime, timestamp("Time at which the device measured the position.")]
    free: Annotated[bool, described("Whether the driver can take an order.", True)]
    state: Annotated[DriverState, described("`free`, or why not: `busy`, `off_duty` or `silent`.", "free")]

    @classmethod
    def of(cls, sighting: Sighting) -> DriverPositionView:
        position = sighting.position
        return cls(
            driver_id=position.driver_id,
            lat=position.place.lat,
            lng=position.place.lng,
            recorded_at=position.recorded_at,
            free=sighting.free,
            state=sighting.state,
        )


class DriverGoneView(msgspec.Struct, frozen=True, kw_only=True):
    """A driver that the stream no longer follows."""

    driver_id: DriverId


class TruncationView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the box of a stream has more drivers than the stream follows."""

    truncated: bool


class FailedEventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the relay no longer publishes; it holds back the later events of its order."""

    id: RowId
    event_id: Annotated[str, described("Id of the event.", "0198c0de-0000-7000-8000-000000000001", format="uuid")]
    type: Annotated[str, described("Event type.", "orders.created")]
    order_id: OrderId
    sequence: Version
    attempts: Annotated[int, described("Number of times the broker rejected it.", 20, minimum=0)]
    error: Annotated[str | None, described("The broker's last error.", "no queue takes it")]
    created_at: Annotated[datetime, timestamp("Time of the event.")]
    failed_at: Annotated[datetime, timestamp("Time of the last attempt.")]
    held_back: Annotated[int, described("Number of later events of its order that it holds back.", 2, minimum=0)]

    @classmethod
    def of(cls, event: FailedEvent) -> FailedEventView:
        return msgspec.convert(event, cls, from_attributes=True)


class FailedEventPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of failed events, newest first."""

    items: Annotated[list[FailedEventView], described("Failed events of this page, at most `limit`.")]
    next_cursor: NextCursor


class RetryFailedEvents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Retry all failed events if there are exactly `expected_count`."""

    expected_count: Count
