"""What the history of orders looks like over REST."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from gofleet.adapters.http.auth import Caller
from gofleet.adapters.http.fields import DriverId, Lat, Lng, OrderId, Version, described, timestamp
from gofleet.domain.driver import Sighting
from gofleet.domain.history import ChangeKind, HistoryEntry
from gofleet.domain.order import Reason, Status


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an order."""

    order_id: OrderId
    sequence: Version
    type: Annotated[ChangeKind, described("What was done.", "orders.dispatched")]
    status: Annotated[Status, described("What has become of the order by that.", "DISPATCHED")]
    driver_id: Annotated[DriverId | None, described("Who has the order since, or had it when it ended.")]
    reason: Annotated[Reason | None, described("Why it was handed to people, if it was.", None)]
    actor: Annotated[
        str,
        described(
            "Who did it: `worker`, `sweeper`, or somebody by role and name; `client` where nobody was asked who they"
            " are, `unknown` in the old past. Who sees only their own orders is told others' roles, not their names.",
            "worker",
        ),
    ]
    at: Annotated[datetime, timestamp("When it was done.")]
    trace_id: Annotated[str | None, described("Of the trace in which it was done.", "4bf92f3577b34da6a3ce929d0e0e4736")]

    @classmethod
    def of(cls, entry: HistoryEntry, caller: Caller) -> EventView:
        """As the caller may see it."""
        return cls(
            order_id=entry.order_id,
            sequence=entry.sequence,
            type=entry.kind,
            status=entry.status,
            driver_id=entry.driver_id,
            reason=entry.reason,
            actor=caller.displayed_actor(entry.actor),
            at=entry.at.astimezone(UTC),
            trace_id=entry.trace_id,
        )


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an order."""

    items: Annotated[list[EventView], described("Its moves, oldest first.")]


class DriverPositionView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a driver is now."""

    driver_id: DriverId
    lat: Lat
    lng: Lng
    recorded_at: Annotated[datetime, timestamp("When it was there.")]
    free: Annotated[bool, described("Whether it can take an order.", True)]

    @classmethod
    def of(cls, seen: Sighting) -> DriverPositionView:
        at = seen.position
        return cls(
            driver_id=at.driver_id,
            lat=at.place.lat,
            lng=at.place.lng,
            recorded_at=at.recorded_at.astimezone(UTC),
            free=seen.free,
        )
