"""Changes of driver positions in a bounding box, queried once for all watchers of the same box."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from gofleet.adapters.http.schemas.events import DriverPositionView
from gofleet.domain.driver import AreaQuery
from gofleet.domain.errors import Unavailable
from gofleet.domain.place import BoundingBox
from gofleet.ports import Fleet


class DriversInBox(NamedTuple):
    """Some drivers in a box, and whether there are more."""

    views: Sequence[DriverPositionView]
    truncated: bool = False


class PositionChanges(NamedTuple):
    """Drivers that are new or changed, ids of drivers no longer followed, and `truncated` if it has changed."""

    moved: list[DriverPositionView]
    gone: list[str]
    truncated: bool | None


FindInBox = Callable[[BoundingBox], Awaitable[DriversInBox]]
"""The drivers in the box, up to a limit. Raises `Unavailable`."""


class DriverPositionFeed:
    """Calls `find` every `interval_seconds` for each watched box. Without position data there are no changes."""

    def __init__(self, find: FindInBox, interval_seconds: float) -> None:
        self._find = find
        self._interval_seconds = interval_seconds
        self._boxes: dict[BoundingBox, _BoxState] = {}

    @contextmanager
    def watch(self, box: BoundingBox) -> Generator[PositionWatcher]:
        state = self._boxes.setdefault(box, _BoxState(box, self._find, self._interval_seconds))
        watcher = PositionWatcher(state)
        state.watchers.append(watcher)
        try:
            yield watcher
        finally:
            state.watchers.remove(watcher)
            if not state.watchers:
                del self._boxes[box]


@dataclass
class _BoxState:
    """The drivers in one box.

    `drivers` maps each id to the number of the query at which it last changed, and to its view; None = gone. So does
    `truncated` for the flag.
    """

    box: BoundingBox
    find: FindInBox
    interval_seconds: float
    watchers: list[PositionWatcher] = field(default_factory=list["PositionWatcher"])
    queries: int = 0
    queried_at: float = -inf
    drivers: dict[str, tuple[int, DriverPositionView | None]] = field(
        default_factory=dict[str, tuple[int, DriverPositionView | None]]
    )
    truncated: tuple[int, bool] = (0, False)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def refresh(self) -> None:
        """Wait until the interval has passed, and query unless another watcher has done so by then."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self.queried_at + self.interval_seconds - clock())
        async with self.lock:
            if clock() < self.queried_at + self.interval_seconds:
                return
            try:
                found = await self.find(self.box)
            except Unavailable:
                return
            finally:
                self.queried_at = clock()
            self.queries += 1
            self._replace(found)

    def _replace(self, found: DriversInBox) -> None:
        present = {view.driver_id: self._since(view.driver_id, view) for view in found.views}
        # A driver that is gone is remembered until every watcher knows it.
        received = min((watcher.received for watcher in self.watchers), default=0)
        gone = {driver_id: self._since(driver_id, None) for driver_id in self.drivers.keys() - present.keys()}
        self.drivers = {driver_id: known for driver_id, known in gone.items() if known[0] > received} | present
        if found.truncated != self.truncated[1]:
            self.truncated = (self.queries, found.truncated)

    def _since(self, driver_id: str, view: DriverPositionView | None) -> tuple[int, DriverPositionView | None]:
        known = self.drivers.get(driver_id)
        return known if known and known[1] == view else (self.queries, view)


@dataclass(eq=False)
class PositionWatcher:
    """The changes that one watcher of a box has not received yet; a slow watcher receives only the newest state.
    `received` is the number of the last query that it knows."""

    _state: _BoxState
    received: int = 0

    async def changes(self) -> PositionChanges:
        """At first all drivers in the box, at once if another watcher's query has found them; afterwards what the next
        query finds changed. May be empty."""
        if self.received or not self._state.queries:
            await self._state.refresh()
        received, self.received = self.received, self._state.queries
        changed = {id: view for id, (since, view) in self._state.drivers.items() if since > received}
        # A new watcher does not know the drivers that are gone.
        gone = [driver_id for driver_id, view in changed.items() if view is None and received]
        since, truncated = self._state.truncated
        moved = [view for view in changed.values() if view is not None]
        return PositionChanges(moved, gone, truncated if since > received else None)


def positions_in_box(fleet: Fleet, limit: int) -> FindInBox:
    """Queries the fleet for the `limit` drivers nearest to the centre of a box."""

    async def find(box: BoundingBox) -> DriversInBox:
        found = await fleet.within(AreaQuery(box, limit=limit))
        return DriversInBox([DriverPositionView.of(sighting) for sighting in found.sightings], found.truncated)

    return find
