"""Drivers and their positions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from gofleet.domain.errors import Invalid, OffDutyByStaff
from gofleet.domain.place import BoundingBox, Place
from gofleet.domain.principal import Actor
from gofleet.domain.values import displayed_text, identifier

NAME_CHARS_MAX = 100
RESERVED_DRIVER_ID = "positions"
"""Not a valid driver id: `/drivers/positions` is a route of its own."""
FIX_ERROR_M = 500.0
"""Combined error of two position fixes of one device, metres: street canyons, tunnels."""
FUTURE_TOLERANCE = timedelta(seconds=5)
"""Tolerated clock skew of a device that is ahead of ours."""


class DriverState(StrEnum):
    """Why a driver receives orders or none: the first that applies.

    `busy`: holds an order, on duty or not; `off_duty`; `silent`: no recent position; `free`.
    """

    BUSY = "busy"
    OFF_DUTY = "off_duty"
    SILENT = "silent"
    FREE = "free"

    @classmethod
    def of(cls, *, busy: bool, on_duty: bool, seen: bool) -> DriverState:
        if busy:
            return cls.BUSY
        if not on_duty:
            return cls.OFF_DUTY
        return cls.FREE if seen else cls.SILENT


@dataclass(frozen=True)
class Driver:
    """Driver record. `version` counts changes of the record itself, not of the position or of orders.

    `order_id` is the live order that the driver holds, filled in by the store on read; it is never written.
    `off_duty_by` is the staff member that set the driver off duty; None if the driver did, or is on duty.
    """

    id: str
    name: str
    on_duty: bool = True
    version: int = 1
    off_duty_by: Actor | None = None
    order_id: str | None = None

    @property
    def free(self) -> bool:
        """On duty and without a live order; the records do not know the position or its age."""
        return self.state is DriverState.FREE

    @property
    def state(self) -> DriverState:
        """Never silent, for the same reason."""
        return DriverState.of(busy=self.order_id is not None, on_duty=self.on_duty, seen=True)

    def with_duty(self, *, on_duty: bool, staff: Actor | None) -> Driver:
        """The driver on or off duty, as set by a member of staff, or by the driver itself (None).

        What staff set holds until staff lift it: the driver's own request to be on duty is then `OffDutyByStaff`.
        """
        if on_duty:
            if staff is None and self.off_duty_by is not None:
                raise OffDutyByStaff(self.id)
            return replace(self, on_duty=True, off_duty_by=None)
        return replace(self, on_duty=False, off_duty_by=self.off_duty_by or staff)

    def checked(self) -> Driver:
        driver_identifier("id", self.id)
        name = driver_name("name", self.name)
        return replace(self, name=name)


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
        recorded_before("recorded_at", self.recorded_at, now)
        return self


@dataclass(frozen=True)
class TravelBudget:
    """Metres that a driver's own positions may still cover, however many they are.

    Both grow with time at the greatest plausible speed: `device_m` by the times of the positions and to at most
    `FIX_ERROR_M`, so that standing still saves up nothing; `server_m` by our clock, which the device cannot set.
    """

    device_m: float = FIX_ERROR_M
    server_m: float = FIX_ERROR_M

    def after(self, metres: float, kmh: float, device_time: timedelta, server_time: timedelta) -> TravelBudget | None:
        """What remains after `metres` in these times since the last position; None if they are too far."""
        device_m, server_m = (
            before + kmh / 3.6 * time.total_seconds() - metres
            for before, time in ((self.device_m, device_time), (self.server_m, server_time))
        )
        return None if min(device_m, server_m) < 0 else TravelBudget(min(device_m, FIX_ERROR_M), server_m)


class PositionTooFar(Invalid):
    """A driver's own position that is further from the last ones than it can have travelled."""

    def __init__(self, max_kmh: float) -> None:
        super().__init__("lat", f"and lng are further from the last position than {max_kmh:g} km/h allows")


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

    `free` means on duty, with a recent position, and without an order; a soft claim does not count. `busy` means with
    an order. `distance_m` is the distance from the center of the query, metres (great circle).
    """

    position: Position
    name: str
    on_duty: bool
    free: bool
    busy: bool = False
    distance_m: float = 0.0

    @property
    def state(self) -> DriverState:
        return DriverState.of(busy=self.busy, on_duty=self.on_duty, seen=self.free)


@dataclass(frozen=True)
class AreaQuery:
    """Query for at most `limit` drivers inside `box`; None in `free` or `on_duty` does not filter.

    With `count` all drivers that match are counted, which costs more where there are more than `limit`.
    """

    box: BoundingBox
    free: bool | None = None
    on_duty: bool | None = None
    limit: int = 100
    count: bool = False

    def matches(self, sighting: Sighting) -> bool:
        return (
            self.box.contains(sighting.position.place)
            and self.free in {None, sighting.free}
            and self.on_duty in {None, sighting.on_duty}
        )


@dataclass(frozen=True)
class DriversInArea:
    """Answer to an `AreaQuery`: `sightings`, nearest to the centre first, and whether there are more than these.

    `total` is the number of drivers that match, of the nearest ones if too many were to be examined; None = not
    counted.
    """

    sightings: list[Sighting]
    truncated: bool = False
    total: int | None = None


@dataclass(frozen=True)
class DriverFilter:
    """Filter for listing drivers in order of id, after the id `after`; None does not filter."""

    after: str = ""
    free: bool | None = None
    on_duty: bool | None = None


class PositionOutcome(Enum):
    """Outcome of a location update.

    The position of an unregistered driver is kept for a while, outside all searches and queries, and counts if the
    driver is registered meanwhile.
    """

    STORED = "stored"
    OLDER = "older"
    UNREGISTERED = "unregistered"


@dataclass(frozen=True)
class PositionBatchResult:
    """Counts of a batch of positions: `older` than the known one are ignored; `refused` are impossible ones, and those
    of `unregistered` drivers."""

    accepted: int
    older: int
    refused: int
    unregistered: frozenset[str] = frozenset()


def driver_identifier(field: str, text: str) -> str:
    """`text` if it is a valid driver id, else `Invalid`."""
    if identifier(field, text) == RESERVED_DRIVER_ID:
        raise Invalid(field, f"must not be {RESERVED_DRIVER_ID}, which is a reserved word")
    return text


def driver_name(field: str, text: str) -> str:
    """`text` as a name; `Invalid` for one that is no displayed text of 1 to 100 characters."""
    return displayed_text(field, text, NAME_CHARS_MAX)


def recorded_before(field: str, time: datetime, now: datetime) -> None:
    """`Invalid` for a time after `now`, beyond the tolerance."""
    if time > now + FUTURE_TOLERANCE:
        raise Invalid(field, "is in the future")
