"""Drivers and where they are, as they go in and out over REST."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from gofleet.adapters.http.fields import Count, DriverId, Lat, Lng, Name, NextCursor, OrderId, described, timestamp
from gofleet.adapters.http.validation import InvalidBody, to_utc
from gofleet.domain.driver import Driver, Position, Sighting
from gofleet.domain.errors import Invalid
from gofleet.domain.place import Place

POSITIONS_MAX = 500

OnDuty = Annotated[bool, described("Whether the driver takes orders now.")]
RecordedAt = Annotated[datetime | None, timestamp("The device's clock, at most 5 s ahead of ours; without, now.")]
SeenAt = Annotated[datetime, timestamp("When the device measured it.")]
SeenFree = Annotated[bool, described("On duty, seen lately, and without an order, as far as the fleet knows.")]


class NewDriver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A driver's record, whole: what is left out gets its default again."""

    name: Name
    on_duty: OnDuty = True


class SetDuty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a driver works now."""

    on_duty: OnDuty


class LastSeenView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a driver was last, and when."""

    lat: Lat
    lng: Lng
    recorded_at: SeenAt


class DriverView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A driver as clients see it."""

    id: DriverId
    name: Name
    on_duty: OnDuty
    free: Annotated[bool, described("On duty and without an order; on a map also seen lately.")]
    order_id: Annotated[OrderId | None, described("The live order that the driver holds.", None)]
    version: Annotated[
        int,
        described(
            "Counts changes of the record: 1, 2, ...; 0 on a map = drives, but was never registered.",
            3,
            minimum=0,
            maximum=2**31 - 1,
        ),
    ]
    position: Annotated[LastSeenView | None, described("Only on a map.")] = None

    @classmethod
    def of(cls, driver: Driver) -> DriverView:
        return cls(
            id=driver.id,
            name=driver.name,
            on_duty=driver.on_duty,
            free=driver.free,
            order_id=driver.order_id,
            version=driver.version,
        )

    @classmethod
    def on_map(cls, driver: Driver, one: Sighting) -> DriverView:
        """The fleet knows where the driver is and PostgreSQL what it holds: free is whom both believe to be."""
        known = driver.version > 0
        return cls(
            id=driver.id,
            name=driver.name if known else one.name,
            on_duty=driver.on_duty if known else one.on_duty,
            free=driver.free and one.free,
            order_id=driver.order_id,
            version=driver.version,
            position=LastSeenView(
                lat=one.position.place.lat, lng=one.position.place.lng, recorded_at=one.position.recorded_at
            ),
        )


class DriverPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some drivers by id, or those on a part of the map; `next_cursor` asks for the ones after, null at the end."""

    items: Annotated[list[DriverView], described("At most as many as asked for.")]
    next_cursor: NextCursor


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a driver was last."""

    lat: Lat
    lng: Lng
    recorded_at: SeenAt
    free: SeenFree


class CandidateView(msgspec.Struct, frozen=True, kw_only=True):
    """A driver near the pickup of an order."""

    driver_id: DriverId
    name: Name
    lat: Lat
    lng: Lng
    distance_m: Annotated[float, described("From the pickup, metres as the crow flies.", 412.7, minimum=0)]
    seen_at: SeenAt
    free: SeenFree

    @classmethod
    def of(cls, one: Sighting) -> CandidateView:
        at = one.position
        return cls(
            driver_id=at.driver_id,
            name=one.name,
            lat=at.place.lat,
            lng=at.place.lng,
            distance_m=round(one.distance_m, 1),
            seen_at=at.recorded_at,
            free=one.free,
        )


class CandidateList(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on duty near the pickup of an order, nearest first."""

    items: Annotated[list[CandidateView], described("At most as many as asked for.")]


class LocationUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a driver's device is; without `recorded_at` it is there now."""

    lat: Lat
    lng: Lng
    recorded_at: RecordedAt = None


class DriverLocationUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the device of one of many drivers is."""

    driver_id: DriverId
    lat: Lat
    lng: Lng
    recorded_at: RecordedAt = None


class LocationUpdateBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where many drivers are; one driver may be there several times, and the newest counts."""

    positions: Annotated[
        list[DriverLocationUpdate],
        msgspec.Meta(min_length=1, max_length=POSITIONS_MAX, description="1 to 500 of them."),
    ]


class PositionBatchView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of many positions."""

    applied: Count
    older: Annotated[Count, described("Ignored, for a newer one is known.", 1)]
    refused: Annotated[Count, described("Impossible by the clock of the fleet service.", 0)]


def to_position(
    driver_id: str, fix: LocationUpdate | DriverLocationUpdate, now: datetime, pointer: str = ""
) -> Position:
    """The position; `InvalidBody` below `pointer` if it is impossible."""
    try:
        recorded_at = to_utc("recorded_at", fix.recorded_at) if fix.recorded_at else now
        return Position(driver_id, Place(fix.lat, fix.lng), recorded_at).checked(now)
    except Invalid as error:
        # The domain speaks of `position.lat`; in the body that is `/lat`, and the position is all of it.
        steps = (step for step in error.field.split(".") if step != "position")
        raise InvalidBody(pointer + "".join("/" + step for step in steps), error.why) from error


def utc_now() -> datetime:
    return datetime.now(UTC)
