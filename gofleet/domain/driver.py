"""Drivers and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gofleet.domain.errors import Invalid
from gofleet.domain.place import BoundingBox, Place, distance_m
from gofleet.domain.values import identifier

NAME_CHARS_MAX = 100
RESERVED_DRIVER_ID = "positions"
"""No driver's id: `POST /drivers/positions` takes the positions of many."""
FIX_ERROR_M = 500.0
"""How far two fixes of one device may be wrong together, metres: tall streets, tunnels."""
FUTURE_TOLERANCE = timedelta(seconds=5)
"""How far ahead of our clock a phone's clock may be before its fix is refused."""


@dataclass(frozen=True)
class Driver:
    """Somebody who delivers. `version` counts changes of the record, not of the position nor of the orders.

    `order_id` is the live order that the driver holds, as whoever keeps the records says; nobody is told it by us.
    """

    id: str
    name: str
    on_duty: bool = True
    version: int = 1
    order_id: str | None = None

    @property
    def free(self) -> bool:
        """By the records: where the driver is, and whether anybody has heard of it lately, they do not know."""
        return self.on_duty and self.order_id is None

    def checked(self) -> Driver:
        driver_identifier("id", self.id)
        if not (self.name.strip() and self.name.isprintable() and len(self.name) <= NAME_CHARS_MAX):
            raise Invalid("name", f"must be 1 to {NAME_CHARS_MAX} printable characters")
        return self


@dataclass(frozen=True)
class Position:
    """Where a driver's device said it was, and when (aware UTC, the device's clock)."""

    driver_id: str
    place: Place
    recorded_at: datetime

    def checked(self, now: datetime) -> Position:
        """Itself; `Invalid` for an impossible fix: off the map, 0/0, or from the future."""
        driver_identifier("driver_id", self.driver_id)
        self.place.checked("position")
        if self.recorded_at > now + FUTURE_TOLERANCE:
            raise Invalid("recorded_at", "is in the future")
        return self

    def exceeds_speed(self, before: Position, kmh: float) -> bool:
        """Whether nobody gets here from there so soon at that speed; devices err by up to `ERROR_M`."""
        seconds = (self.recorded_at - before.recorded_at).total_seconds()
        return seconds > 0 and distance_m(before.place, self.place) - FIX_ERROR_M > kmh / 3.6 * seconds


@dataclass(frozen=True)
class Candidate:
    """A driver who could take the order, `distance_m` metres from its pickup as the crow flies."""

    driver_id: str
    name: str
    place: Place
    distance_m: float


@dataclass(frozen=True)
class Sighting:
    """Where a driver was last seen, and when. Free = on duty, seen lately, and without an order; a soft claim does not
    count. `distance_m` is from the place that was asked about, metres as the crow flies."""

    position: Position
    name: str
    on_duty: bool
    free: bool
    distance_m: float = 0.0


@dataclass(frozen=True)
class AreaQuery:
    """Whom to show on a map: at most `limit` of those inside `box`; `free` and `on_duty` narrow it, None = both."""

    box: BoundingBox
    free: bool | None = None
    on_duty: bool | None = None
    limit: int = 100

    def matches(self, one: Sighting) -> bool:
        return (
            self.box.contains(one.position.place)
            and self.free in {None, one.free}
            and self.on_duty in {None, one.on_duty}
        )


@dataclass(frozen=True)
class DriverFilter:
    """Which drivers to list, by id, from the one behind `after`; `free` is by the records, None = both."""

    after: str = ""
    free: bool | None = None
    on_duty: bool | None = None


@dataclass(frozen=True)
class PositionBatchResult:
    """What became of many positions; `older` = a newer one was known, `refused` = impossible."""

    accepted: int
    older: int
    refused: int


def driver_identifier(field: str, text: str) -> str:
    """As `identifier`, for a driver."""
    if identifier(field, text) == RESERVED_DRIVER_ID:
        raise Invalid(field, f"must not be {RESERVED_DRIVER_ID}, which is a reserved word")
    return text
