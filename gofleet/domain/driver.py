"""Drivers and their positions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gofleet.domain.errors import Invalid
from gofleet.domain.place import BoundingBox, Place, distance_m
from gofleet.domain.values import identifier

NAME_CHARS_MAX = 100
RESERVED_DRIVER_ID = "positions"
"""Not a valid driver id: `/drivers/positions` is a route of its own."""
FIX_ERROR_M = 500.0
"""Combined error of two position fixes of one device, metres: street canyons, tunnels."""
FUTURE_TOLERANCE = timedelta(seconds=5)
"""Tolerated clock skew of a device that is ahead of ours."""


@dataclass(frozen=True)
class Driver:
    """Driver record. `version` counts changes of the record itself, not of the position or of orders.

    `order_id` is the live order that the driver holds, filled in by the store on read; it is never written.
    """

    id: str
    name: str
    on_duty: bool = True
    version: int = 1
    order_id: str | None = None

    @property
    def free(self) -> bool:
        """On duty and without a live order; the records do not know the position or its age."""
        return self.on_duty and self.order_id is None

    def checked(self) -> Driver:
        driver_identifier("id", self.id)
        if not (self.name.strip() and self.name.isprintable() and len(self.name) <= NAME_CHARS_MAX):
            raise Invalid("name", f"must be 1 to {NAME_CHARS_MAX} printable characters")
        return self


@dataclass(frozen=True)
class Position:
    """Position fix of a driver's device; `recorded_at` is aware UTC by the device's clock."""

    driver_id: str
    place: Place
    recorded_at: datetime

    def checked(self, now: datetime) -> Position:
        """The position itself; `Invalid` for an impossible fix: out of range, 0/0, or in the future."""
        driver_identifier("driver_id", self.driver_id)
        self.place.checked("position")
        if self.recorded_at > now + FUTURE_TOLERANCE:
            raise Invalid("recorded_at", "is in the future")
        return self

    def exceeds_speed(self, before: Position, kmh: float) -> bool:
        """Whether travel from `before` to here needs more than `kmh`, allowing for `FIX_ERROR_M`."""
        seconds = (self.recorded_at - before.recorded_at).total_seconds()
        return seconds > 0 and distance_m(before.place, self.place) - FIX_ERROR_M > kmh / 3.6 * seconds


@dataclass(frozen=True)
class Candidate:
    """Driver that could take an order, `distance_m` metres from its pickup (great circle)."""

    driver_id: str
    name: str
    place: Place
    distance_m: float


@dataclass(frozen=True)
class Sighting:
    """Last known position of a driver.

    `free` means on duty, with a recent position, and without an order; a soft claim does not count. `distance_m` is the
    distance from the center of the query, metres (great circle).
    """

    position: Position
    name: str
    on_duty: bool
    free: bool
    distance_m: float = 0.0


@dataclass(frozen=True)
class AreaQuery:
    """Query for at most `limit` drivers inside `box`; None in `free` or `on_duty` does not filter."""

    box: BoundingBox
    free: bool | None = None
    on_duty: bool | None = None
    limit: int = 100

    def matches(self, sighting: Sighting) -> bool:
        return (
            self.box.contains(sighting.position.place)
            and self.free in {None, sighting.free}
            and self.on_duty in {None, sighting.on_duty}
        )


@dataclass(frozen=True)
class DriverFilter:
    """Filter for listing drivers in order of id, after the id `after`; None does not filter."""

    after: str = ""
    free: bool | None = None
    on_duty: bool | None = None


@dataclass(frozen=True)
class PositionBatchResult:
    """Counts of a batch of positions: `older` than the known one are ignored, impossible ones are `refused`."""

    accepted: int
    older: int
    refused: int


def driver_identifier(field: str, text: str) -> str:
    """`text` if it is a valid driver id, else `Invalid`."""
    if identifier(field, text) == RESERVED_DRIVER_ID:
        raise Invalid(field, f"must not be {RESERVED_DRIVER_ID}, which is a reserved word")
    return text
