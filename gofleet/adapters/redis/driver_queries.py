"""Read-only queries for the positions of drivers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import radians
from typing import Any, cast

from redis.asyncio import Redis

from gofleet.adapters.redis.connection import redis_span
from gofleet.adapters.redis.scripts import Script, ScriptPipeline, decode_rows
from gofleet.domain.driver import AreaQuery, DriversInArea, Position, Sighting
from gofleet.domain.place import EARTH_RADIUS_M, BoundingBox, Place, distance_m

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXAMINE_BATCH_MAX = 200
"""Drivers that one script examines: about a millisecond, in which the server does nothing else."""
EXAMINED_MAX = 5000
"""Drivers that one query examines. Matches beyond that many nearer drivers are not found, so that a map query does not
delay the searches of workers."""
COLUMNS = 7
METRES_PER_DEGREE = EARTH_RADIUS_M * radians(1)
SLACK, SLACK_M = 1.001, 10.0
Shape = tuple[str | float, ...]
"""Arguments of GEOSEARCH: BYRADIUS with metres, or BYBOX with width and height in metres."""


class RedisDriverQueries:
    """The reading half of `RedisPositions`; every method raises `Unavailable` when Redis is unavailable.

    A query is not atomic as a whole: a driver whose position changes meanwhile may be returned at its old one.
    """

    def __init__(self, redis: Redis, prefix: str, stale_ms: int) -> None:
        self._redis = cast("Any", redis)  # its commands are also typed for the synchronous client
        self._prefix = prefix
        self._stale_ms = stale_ms
        self._examine_script = Script(ScriptPipeline(redis, batch_max=1), "settle", "look")

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        radius_m = radius_km * 1000
        shapes = [*_circles(radius_m), ("BYRADIUS", radius_m)]
        found, _ = await self._search("seen", place, shapes, lambda sighting: sighting.on_duty, limit)
        return found

    async def within(self, area: AreaQuery) -> DriversInArea:
        index = "free" if area.free else "seen"  # finds few free drivers among many at once
        width_m, height_m = _size_m(area.box)
        shapes = [*_circles(max(width_m, height_m) / 2), ("BYBOX", width_m, height_m)]
        limit = EXAMINED_MAX if area.count else area.limit + 1
        found, complete = await self._search(index, area.box.center, shapes, area.matches, limit)
        truncated = len(found) > area.limit or not complete
        return DriversInArea(found[: area.limit], truncated, len(found) if area.count else None)

    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]:
        unique = list(dict.fromkeys(driver_ids))
        sightings: list[Sighting] = []
        for start in range(0, len(unique), EXAMINE_BATCH_MAX):
            batch = await self._examine(unique[start : start + EXAMINE_BATCH_MAX])
            sightings += [sighting for sighting in batch if sighting]
        return sightings

    async def _search(
        self, index: str, centre: Place, shapes: Sequence[Shape], matches: Callable[[Sighting], bool], limit: int
    ) -> tuple[list[Sighting], bool]:
        """The nearest `limit` drivers that match, among the `EXAMINED_MAX` nearest, and whether all were examined.

        GEOSEARCH measures every driver inside its shape, whatever its COUNT, so the shapes grow, and the last one
        contains all others. It has no cursor either: each page begins anew, and drivers of earlier pages are recognised
        by id, because their positions may change meanwhile.
        """
        found: list[Sighting] = []
        examined: set[str] = set()
        count = min(2 * limit + 8, EXAMINED_MAX)
        for shape in shapes:
            page_is_full = True
            while page_is_full:
                page = await self._page(index, centre, shape, count)
                page_is_full = len(page) >= count
                new = [(driver_id, metres) for driver_id, metres in page if driver_id not in examined]
                examined.update(driver_id for driver_id, _ in new)
                found += await self._matching(new, matches, limit - len(found))
                if len(found) >= limit or len(examined) >= EXAMINED_MAX:
                    return found, False
                if page_is_full:
                    count = min(4 * count, EXAMINED_MAX)
        return found, True

    async def _matching(
        self, new: Sequence[tuple[str, float]], matches: Callable[[Sighting], bool], limit: int
    ) -> list[Sighting]:
        found: list[Sighting] = []
        for start in range(0, len(new), EXAMINE_BATCH_MAX):
            batch = new[start : start + EXAMINE_BATCH_MAX]
            sightings = await self._examine([driver_id for driver_id, _ in batch])
            for (_, metres), sighting in zip(batch, sightings, strict=True):
                if sighting and matches(sighting):
                    found.append(replace(sighting, distance_m=metres))
            if len(found) >= limit:
                break
        return found[:limit]

    async def _page(self, index: str, centre: Place, shape: Shape, count: int) -> list[tuple[str, float]]:
        arguments = ["FROMLONLAT", indexed_lng(centre), centre.lat, *shape, "m", "ASC", "COUNT", count, "WITHDIST"]
        with redis_span("GEOSEARCH", index):
            rows = await self._redis.execute_command("GEOSEARCH", f"{self._prefix}drivers:{index}", *arguments)
        return [(str(driver_id), float(metres)) for driver_id, metres in rows]

    async def _examine(self, driver_ids: Sequence[str]) -> list[Sighting | None]:
        keys = [f"{self._prefix}{kind}:{driver_id}" for driver_id in driver_ids for kind in ("driver", "busy")]
        values = decode_rows(await self._examine_script(keys, self._stale_ms))
        rows = [values[start : start + COLUMNS] for start in range(0, len(values), COLUMNS)]
        return [_sighting(driver_id, row) for driver_id, row in zip(driver_ids, rows, strict=True)]


def indexed_lng(place: Place) -> float:
    """The longitude for a geo index: at 180 one finds nothing east of it. 0.1 m less is precise enough."""
    return min(place.lng, 179.999999)


def _sighting(driver_id: str, row: Sequence[str | int]) -> Sighting | None:
    name, lat, lng, recorded_at, on_duty, free, busy = map(str, row)
    if not recorded_at:
        return None
    position = Position(driver_id, Place(float(lat), float(lng)), EPOCH + timedelta(milliseconds=int(recorded_at)))
    return Sighting(position, name, on_duty == "1", free == "1", busy == "1")


def _circles(radius_m: float) -> list[Shape]:
    """Growing circles, so that a search begins near its centre."""
    return [("BYRADIUS", radius_m / divisor) for divisor in (64, 32, 16, 8, 4, 2)]


def _size_m(box: BoundingBox) -> tuple[float, float]:
    """Width and height for BYBOX that contain the whole box, and some drivers outside of it.

    Redis measures the width at each driver's own latitude, so a box in degrees is as wide as at its latitude nearest to
    the equator. The index is exact to about a metre.
    """
    widest = min(max(box.min_lat, 0.0), box.max_lat)
    half_deg = (box.max_lng - box.min_lng) / 2
    width = 2 * distance_m(Place(widest, 0.0), Place(widest, half_deg))
    height = 2 * max(abs(lat - box.center.lat) for lat in (box.min_lat, box.max_lat)) * METRES_PER_DEGREE
    return width * SLACK + SLACK_M, height * SLACK + SLACK_M
