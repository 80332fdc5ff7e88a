"""Points and bounding boxes on the map (WGS 84)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import asin, cos, isfinite, radians, sin, sqrt

from gofleet.domain.errors import Invalid

# Redis stores geographical indexes in Web Mercator, which ends at this latitude.
LATITUDE_MAX = 85.05
EARTH_RADIUS_M = 6_372_797.560856
"""The value that Redis uses, so that all distances agree."""


def latitude(field: str, degrees: float | Decimal) -> None:
    """`Invalid` for a latitude that the map does not have."""
    if not (isfinite(degrees) and abs(float(degrees)) <= LATITUDE_MAX):  # Decimal("85.05") is more than the float
        raise Invalid(field, f"must be between -{LATITUDE_MAX} and {LATITUDE_MAX}")


def longitude(field: str, degrees: float | Decimal) -> None:
    """`Invalid` for a longitude beyond 180 degrees."""
    if not (isfinite(degrees) and abs(degrees) <= 180):
        raise Invalid(field, "must be between -180 and 180")


@dataclass(frozen=True)
class Place:
    """Point with `lat` and `lng` in degrees (WGS 84)."""

    lat: float
    lng: float

    @property
    def is_valid(self) -> bool:
        """Whether the map has it."""
        try:
            self.checked("place")
        except Invalid:
            return False
        return True

    def checked(self, field: str) -> Place:
        """The place itself; `Invalid`, naming `field.lat` or `field.lng`, when out of range or 0/0."""
        latitude(f"{field}.lat", self.lat)
        longitude(f"{field}.lng", self.lng)
        if self.lat == 0 and self.lng == 0:
            raise Invalid(field, "is 0/0, which is what a broken sensor reports")
        return self


@dataclass(frozen=True)
class BoundingBox:
    """Area between two meridians and two parallels, in degrees (WGS 84), edges included."""

    min_lng: float
    min_lat: float
    max_lng: float
    max_lat: float

    def checked(self, field: str) -> BoundingBox:
        """The box itself; `Invalid`, naming `field`, when it is empty, out of range or crosses the antimeridian."""
        if not (-180 <= self.min_lng <= 180 and -180 <= self.max_lng <= 180):
            raise Invalid(field, "must have longitudes between -180 and 180")
        if not (-90 <= self.min_lat <= 90 and -90 <= self.max_lat <= 90):
            raise Invalid(field, "must have latitudes between -90 and 90")
        if self.min_lng >= self.max_lng:
            raise Invalid(field, "must have min_lng below max_lng; use two boxes across the antimeridian")
        if self.min_lat >= self.max_lat:
            raise Invalid(field, "must have min_lat below max_lat")
        return self

    @property
    def center(self) -> Place:
        """Center of the part between the latitudes that a place may have."""
        south, north = (max(-LATITUDE_MAX, min(lat, LATITUDE_MAX)) for lat in (self.min_lat, self.max_lat))
        return Place((south + north) / 2, (self.min_lng + self.max_lng) / 2)

    def contains(self, place: Place) -> bool:
        lngs = (180.0, -180.0) if abs(place.lng) == 180 else (place.lng,)  # one meridian with two names
        return self.min_lat <= place.lat <= self.max_lat and any(self.min_lng <= lng <= self.max_lng for lng in lngs)


def distance_m(one: Place, other: Place) -> float:
    """Great-circle distance in metres (haversine)."""
    lat, other_lat = radians(one.lat), radians(other.lat)
    u, v = sin((other_lat - lat) / 2), sin(radians(other.lng - one.lng) / 2)
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(u * u + cos(lat) * cos(other_lat) * v * v)))
