"""A point on the map."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from gofleet.domain.errors import Invalid

# Redis keeps geographical indexes in Web Mercator, which ends here; nobody delivers nearer to a pole.
LARGEST_LATITUDE = 85.05


@dataclass(frozen=True)
class Place:
    """`lat` and `lng` in degrees (WGS 84)."""

    lat: float
    lng: float

    def checked(self, field: str) -> Place:
        """Itself; `Invalid` (naming `field.lat` or `field.lng`) when it is not a place where anyone can be."""
        if not (isfinite(self.lat) and abs(self.lat) <= LARGEST_LATITUDE):
            raise Invalid(f"{field}.lat", f"must be between -{LARGEST_LATITUDE} and {LARGEST_LATITUDE}")
        if not (isfinite(self.lng) and abs(self.lng) <= 180):
            raise Invalid(f"{field}.lng", "must be between -180 and 180")
        if self.lat == 0 and self.lng == 0:
            raise Invalid(field, "is 0/0, which is what a broken sensor reports")
        return self
