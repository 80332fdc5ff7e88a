"""How drivers move in a part of the map, asked for once however many look at the same part."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf

from gofleet.adapters.http.schemas.events import DriverPositionView
from gofleet.domain.driver import AreaQuery
from gofleet.domain.errors import Unavailable
from gofleet.domain.place import BoundingBox
from gofleet.ports import Fleet

FindInBox = Callable[[BoundingBox], Awaitable[Sequence[DriverPositionView]]]
"""The drivers in the box as they are now, so many at most; `Unavailable`."""


class DriverPositionFeed:
    """Asks `within` every `seconds` for each box that somebody watches. Where nobody knows where drivers are, nothing
    moves."""

    def __init__(self, find: FindInBox, interval_seconds: float) -> None:
        self._within = find
        self._seconds = interval_seconds
        self._watched: dict[BoundingBox, _Watched] = {}

    @contextmanager
    def watch(self, box: BoundingBox) -> Generator[PositionWatcher]:
        watched = self._watched.setdefault(box, _Watched(box, self._within, self._seconds))
        watched.watches += 1
        try:
            yield PositionWatcher(watched)
        finally:
            watched.watches -= 1
            if not watched.watches:
                del self._watched[box]


@dataclass
class _Watched:
    """`found` tells of each driver in the box since which look it is as it is."""

    box: BoundingBox
    within: FindInBox
    seconds: float
    watches: int = 0
    looks: int = 0
    looked_at: float = -inf
    found: dict[str, tuple[int, DriverPositionView]] = field(default_factory=dict[str, tuple[int, DriverPositionView]])
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self) -> None:
        """Wait until it is time, and look, if none of the others has done it by then."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self.looked_at + self.seconds - clock())
        async with self.turn:
            if clock() < self.looked_at + self.seconds:
                return
            try:
                seen = await self.within(self.box)
            except Unavailable:
                return
            finally:
                self.looked_at = clock()
            self.looks += 1
            self.found = {driver.driver_id: self._since(driver) for driver in seen}

    def _since(self, driver: DriverPositionView) -> tuple[int, DriverPositionView]:
        known = self.found.get(driver.driver_id)
        return known if known and known[1] == driver else (self.looks, driver)


@dataclass
class PositionWatcher:
    """What one of those who look at a box has not seen yet: however slow they are, only the newest."""

    _watched: _Watched
    _seen: int = 0

    async def changes(self) -> list[DriverPositionView]:
        """At the first time all that are there, at once if somebody else knows; then, after the next look, those that
        are not as they were. Perhaps none."""
        if self._seen or not self._watched.looks:
            await self._watched.look()
        seen, self._seen = self._seen, self._watched.looks
        return [driver for since, driver in self._watched.found.values() if since > seen]


def positions_in_box(fleet: Fleet, most: int) -> FindInBox:
    """The `most` drivers nearest to the middle of a box, as the fleet knows them."""

    async def within(box: BoundingBox) -> Sequence[DriverPositionView]:
        return [DriverPositionView.of(seen) for seen in await fleet.within(AreaQuery(box, limit=most))]

    return within
