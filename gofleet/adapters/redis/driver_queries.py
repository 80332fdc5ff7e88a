"""Looking at where drivers are, without changing anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import radians
from typing import Any, cast

from redis.asyncio import Redis

from gofleet.adapters.redis.scripts import Script, ScriptPipeline, decode_rows, redis_span
from gofleet.domain.driver import AreaQuery, Position, Sighting
from gofleet.domain.place import EARTH_RADIUS_M, BoundingBox, Place, distance_m

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOOKED_AT_ONCE = 200
"""Drivers that one script looks at: about a millisecond, in which the server does nothing else."""
EXAMINED_MAX = 5000
"""Where so many are nearer who are not wanted, the others are not found: a map must not hold up the searches."""
COLUMNS = 6
METRES_PER_DEGREE = EARTH_RADIUS_M * radians(1)
SLACK, SLACK_M = 1.001, 10.0
Shape = tuple[str | float, ...]
"""As GEOSEARCH has it: BYRADIUS with metres, or BYBOX with width and height in metres."""


class RedisDriverQueries:
    """The reading half of `RedisPositions`; `Unavailable` from any method when Redis is.

    Nothing here is atomic as a whole: a driver who moves meanwhile may be shown where it was.
    """

    def __init__(self, redis: Redis, prefix: str, stale_ms: int) -> None:
        self._redis = cast("Any", redis)  # its commands are typed for the synchronous client too
        self._prefix = prefix
        self._stale_ms = stale_ms
        self._look_script = Script(ScriptPipeline(redis, most=1), "settle", "look")

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        radius_m = radius_km * 1000
        shapes = [*_circles(radius_m), ("BYRADIUS", radius_m)]
        return await self._found("seen", place, shapes, lambda one: one.on_duty, limit)

    async def within(self, area: AreaQuery) -> list[Sighting]:
        index = "free" if area.free else "seen"  # where few of many are free, this finds them at once
        width_m, height_m = _size_m(area.box)
        shapes = [*_circles(max(width_m, height_m) / 2), ("BYBOX", width_m, height_m)]
        return await self._found(index, area.box.center, shapes, area.matches, area.limit)

    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]:
        wanted = list(dict.fromkeys(driver_ids))
        found: list[Sighting] = []
        for start in range(0, len(wanted), LOOKED_AT_ONCE):
            found += [one for one in await self._look(wanted[start : start + LOOKED_AT_ONCE]) if one]
        return found

    async def _found(
        self, index: str, centre: Place, shapes: Sequence[Shape], wanted: Callable[[Sighting], bool], limit: int
    ) -> list[Sighting]:
        """The nearest `limit` who are wanted, out of the `EXAMINED_MAX` nearest.

        GEOSEARCH measures everybody inside, however few it is to give, so the shapes grow, and the last holds all the
        others. It cannot go on where it stopped either: each page begins anew, and whoever was met before is known by
        id, for drivers change places meanwhile.
        """
        found: list[Sighting] = []
        met: set[str] = set()
        count = 2 * limit + 8
        for shape in shapes:
            page_is_full = True
            while page_is_full:
                page = await self._page(index, centre, shape, count)
                page_is_full = len(page) >= count
                new = [(driver_id, metres) for driver_id, metres in page if driver_id not in met]
                met.update(driver_id for driver_id, _ in new)
                found += await self._wanted(new, wanted, limit - len(found))
                if len(found) >= limit or len(met) >= EXAMINED_MAX:
                    return found
                if page_is_full:
                    count = min(4 * count, EXAMINED_MAX)
        return found

    async def _wanted(
        self, new: Sequence[tuple[str, float]], wanted: Callable[[Sighting], bool], limit: int
    ) -> list[Sighting]:
        found: list[Sighting] = []
        for start in range(0, len(new), LOOKED_AT_ONCE):
            batch = new[start : start + LOOKED_AT_ONCE]
            seen = await self._look([driver_id for driver_id, _ in batch])
            for (_, metres), one in zip(batch, seen, strict=True):
                if one and wanted(one):
                    found.append(replace(one, distance_m=metres))
            if len(found) >= limit:
                break
        return found[:limit]

    async def _page(self, index: str, centre: Place, shape: Shape, count: int) -> list[tuple[str, float]]:
        around = ["FROMLONLAT", centre.lng, centre.lat, *shape, "m", "ASC", "COUNT", count, "WITHDIST"]
        with redis_span("GEOSEARCH", index):
            rows = await self._redis.execute_command("GEOSEARCH", f"{self._prefix}drivers:{index}", *around)
        return [(str(driver_id), float(metres)) for driver_id, metres in rows]

    async def _look(self, driver_ids: Sequence[str]) -> list[Sighting | None]:
        keys = [f"{self._prefix}{kind}:{driver_id}" for driver_id in driver_ids for kind in ("driver", "busy")]
        values = decode_rows(await self._look_script(keys, self._stale_ms))
        rows = [values[start : start + COLUMNS] for start in range(0, len(values), COLUMNS)]
        return [_sighting(driver_id, row) for driver_id, row in zip(driver_ids, rows, strict=True)]


def _sighting(driver_id: str, row: Sequence[str | int]) -> Sighting | None:
    name, lat, lng, recorded_at, on_duty, free = map(str, row)
    if not recorded_at:
        return None
    position = Position(driver_id, Place(float(lat), float(lng)), EPOCH + timedelta(milliseconds=int(recorded_at)))
    return Sighting(position, name, on_duty == "1", free == "1")


def _circles(radius_m: float) -> list[Shape]:
    """Ever larger ones, to begin near."""
    return [("BYRADIUS", radius_m / divisor) for divisor in (64, 32, 16, 8, 4, 2)]


def _size_m(box: BoundingBox) -> tuple[float, float]:
    """Width and height for BYBOX that leave nobody out who is inside; some who are outside are found as well.

    Redis measures the width at each driver's own latitude, so that a box in degrees is as wide as at that one of its
    latitudes which is nearest to the equator. An index is exact to about a metre.
    """
    widest = min(max(box.min_lat, 0.0), box.max_lat)
    half_deg = (box.max_lng - box.min_lng) / 2
    width = 2 * distance_m(Place(widest, 0.0), Place(widest, half_deg))
    height = 2 * max(abs(lat - box.center.lat) for lat in (box.min_lat, box.max_lat)) * METRES_PER_DEGREE
    return width * SLACK + SLACK_M, height * SLACK + SLACK_M
