"""Drivers and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gofleet.domain.errors import Invalid
from gofleet.domain.ids import identifier
from gofleet.domain.place import Place

LONGEST_NAME = 100
FUTURE_TOLERANCE = timedelta(seconds=5)
"""How far ahead of our clock a phone's clock may be before its fix is refused."""


@dataclass(frozen=True)
class Driver:
    """Somebody who delivers. `version` counts changes of the record, not of the position."""

    id: str
    name: str
    on_duty: bool = True
    version: int = 1

    def checked(self) -> Driver:
        identifier("id", self.id)
        if not (self.name.strip() and self.name.isprintable() and len(self.name) <= LONGEST_NAME):
            raise Invalid("name", f"must be 1 to {LONGEST_NAME} printable characters")
        return self


@dataclass(frozen=True)
class Position:
    """Where a driver's device said it was, and when (aware UTC, the device's clock)."""

    driver_id: str
    place: Place
    recorded_at: datetime

    def checked(self, now: datetime) -> Position:
        """Itself; `Invalid` for an impossible fix: off the map, 0/0, or from the future."""
        identifier("driver_id", self.driver_id)
        self.place.checked("position")
        if self.recorded_at > now + FUTURE_TOLERANCE:
            raise Invalid("recorded_at", "is in the future")
        return self


@dataclass(frozen=True)
class Candidate:
    """A driver who could take the order, `distance_m` metres from its pickup as the crow flies."""

    driver_id: str
    name: str
    place: Place
    distance_m: float
