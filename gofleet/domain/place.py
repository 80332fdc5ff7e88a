"""A point on the map, and a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, cos, isfinite, radians, sin, sqrt

from gofleet.domain.errors import Invalid

# Redis keeps geographical indexes in Web Mercator, which ends here; nobody delivers nearer to a pole.
LATITUDE_MAX = 85.05
EARTH_RADIUS_M = 6_372_797.560856
"""The one that Redis uses, so that everybody measures alike."""


@dataclass(frozen=True)
class Place:
    """`lat` and `lng` in degrees (WGS 84)."""

    lat: float
    lng: float

    def checked(self, field: str) -> Place:
        """Itself; `Invalid` (naming `field.lat` or `field.lng`) when it is not a place where anyone can be."""
        if not (isfinite(self.lat) and abs(self.lat) <= LATITUDE_MAX):
            raise Invalid(f"{field}.lat", f"must be between -{LATITUDE_MAX} and {LATITUDE_MAX}")
        if not (isfinite(self.lng) and abs(self.lng) <= 180):
            raise Invalid(f"{field}.lng", "must be between -180 and 180")
        if self.lat == 0 and self.lng == 0:
            raise Invalid(field, "is 0/0, which is what a broken sensor reports")
        return self


@dataclass(frozen=True)
class BoundingBox:
    """A part of the map between two meridians and two parallels, in degrees (WGS 84); its edges belong to it."""

    min_lng: float
    min_lat: float
    max_lng: float
    max_lat: float

    def checked(self, field: str) -> BoundingBox:
        """Itself; `Invalid` (naming `field`) when it is no box. It may end at a pole, not cross the antimeridian."""
        if not (-180 <= self.min_lng <= 180 and -180 <= self.max_lng <= 180):
            raise Invalid(field, "must have longitudes between -180 and 180")
        if not (-90 <= self.min_lat <= 90 and -90 <= self.max_lat <= 90):
            raise Invalid(field, "must have latitudes between -90 and 90")
        if self.min_lng >= self.max_lng:
            raise Invalid(field, "must have min_lng below max_lng; across the antimeridian are two boxes")
        if self.min_lat >= self.max_lat:
            raise Invalid(field, "must have min_lat below max_lat")
        return self

    @property
    def center(self) -> Place:
        """Of that part of it where anybody can be."""
        south, north = (max(-LATITUDE_MAX, min(lat, LATITUDE_MAX)) for lat in (self.min_lat, self.max_lat))
        return Place((south + north) / 2, (self.min_lng + self.max_lng) / 2)

    def contains(self, place: Place) -> bool:
        return self.min_lat <= place.lat <= self.max_lat and self.min_lng <= place.lng <= self.max_lng


def distance_m(one: Place, other: Place) -> float:
    """Metres as the crow flies (haversine)."""
    lat, other_lat = radians(one.lat), radians(other.lat)
    u, v = sin((other_lat - lat) / 2), sin(radians(other.lng - one.lng) / 2)
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(u * u + cos(lat) * cos(other_lat) * v * v)))
