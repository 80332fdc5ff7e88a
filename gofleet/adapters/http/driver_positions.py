"""Changes of driver positions in a bounding box, queried once for all watchers of the same box."""

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
        state.watchers += 1
        try:
            yield PositionWatcher(state)
        finally:
            state.watchers -= 1
            if not state.watchers:
                del self._boxes[box]


@dataclass
class _BoxState:
    """The drivers in one box; `drivers` maps each id to the number of the query at which it last changed, and to its
    view."""

    box: BoundingBox
    find: FindInBox
    interval_seconds: float
    watchers: int = 0
    queries: int = 0
    queried_at: float = -inf
    drivers: dict[str, tuple[int, DriverPositionView]] = field(
        default_factory=dict[str, tuple[int, DriverPositionView]]
    )
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def refresh(self) -> None:
        """Wait until the interval has passed, and query unless another watcher has done so by then."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self.queried_at + self.interval_seconds - clock())
        async with self.lock:
            if clock() < self.queried_at + self.interval_seconds:
                return
            try:
                views = await self.find(self.box)
            except Unavailable:
                return
            finally:
                self.queried_at = clock()
            self.queries += 1
            self.drivers = {view.driver_id: self._since(view) for view in views}

    def _since(self, view: DriverPositionView) -> tuple[int, DriverPositionView]:
        known = self.drivers.get(view.driver_id)
        return known if known and known[1] == view else (self.queries, view)


@dataclass
class PositionWatcher:
    """The changes that one watcher of a box has not received yet; a slow watcher receives only the newest state."""

    _state: _BoxState
    _received: int = 0

    async def changes(self) -> list[DriverPositionView]:
        """At first all drivers in the box, at once if another watcher's query has found them; afterwards the drivers
        that the next query finds changed. May be empty."""
        if self._received or not self._state.queries:
            await self._state.refresh()
        received, self._received = self._received, self._state.queries
        return [view for since, view in self._state.drivers.values() if since > received]


def positions_in_box(fleet: Fleet, limit: int) -> FindInBox:
    """Queries the fleet for the `limit` drivers nearest to the centre of a box."""

    async def find(box: BoundingBox) -> Sequence[DriverPositionView]:
        return [DriverPositionView.of(sighting) for sighting in await fleet.within(AreaQuery(box, limit=limit))]

    return find
