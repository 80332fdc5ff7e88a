"""Use cases of the fleet that need the drivers' records: registrations and location updates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from gofleet.domain.driver import Position, PositionOutcome
from gofleet.domain.errors import Unavailable
from gofleet.ports import Drivers, Positions

LOOKUP_TIMEOUT_SECONDS = 0.5
"""A fraction of the time in which a client expects the answer to its location update."""
RETRY_SECONDS = 1.0
"""Pause after a failed lookup: location updates do not wait for a database that is unavailable."""
ABSENT_SECONDS = 5.0
ABSENT_MAX = 10_000


@dataclass(eq=False)
class TrackDrivers:
    """Location updates and registrations of drivers: registered are those with a record in the database.

    A driver that `positions` does not know, because it has lost its data, is looked up at the next location update. An
    absent record is remembered for `ABSENT_SECONDS`, so that updates of unregistered drivers do not cost a query each.
    While the database is unavailable, updates of unknown drivers are stored, registered or not. The first updates of a
    driver that is looked up count as stored, because the newest of them is.
    """

    positions: Positions
    drivers: Drivers
    clock: Callable[[], float] = time.monotonic
    _absent_until: dict[str, float] = field(default_factory=dict[str, float])
    _retry_at: float = 0.0

    async def register(self, driver_id: str) -> None:
        """Register the driver as its record says; `DriverNotFound` without one."""
        await self.positions.register(await self.drivers.get(driver_id))

    async def update_positions(self, positions: Sequence[Position]) -> list[PositionOutcome]:
        """As `Positions.update_positions`."""
        outcomes = await self.positions.update_positions(positions)
        if PositionOutcome.UNREGISTERED not in outcomes:
            return outcomes
        unknown = {
            position.driver_id
            for position, outcome in zip(positions, outcomes, strict=True)
            if outcome is PositionOutcome.UNREGISTERED
        }
        found = unknown - await self._absent(unknown)
        return [
            PositionOutcome.STORED
            if outcome is PositionOutcome.UNREGISTERED and position.driver_id in found
            else outcome
            for position, outcome in zip(positions, outcomes, strict=True)
        ]

    async def update_own_position(self, position: Position, max_kmh: float) -> PositionOutcome:
        """As `Positions.update_own_position`."""
        outcome = await self.positions.update_own_position(position, max_kmh)
        if outcome is PositionOutcome.UNREGISTERED and not await self._absent({position.driver_id}):
            return PositionOutcome.STORED
        return outcome

    async def _absent(self, driver_ids: Collection[str]) -> set[str]:
        """Those that have no record as far as it is known; the others are registered, unless the lookup fails."""
        now = self.clock()
        unknown = [driver_id for driver_id in driver_ids if self._absent_until.get(driver_id, now) <= now]
        if unknown and now >= self._retry_at:
            try:
                async with asyncio.timeout(LOOKUP_TIMEOUT_SECONDS):
                    records = await asyncio.gather(*map(self.drivers.find, unknown))
            except (Unavailable, TimeoutError):
                self._retry_at = self.clock() + RETRY_SECONDS
            else:
                self._remember({id for id, record in zip(unknown, records, strict=True) if record is None})
                await asyncio.gather(*(self.positions.register(record) for record in records if record))
        return {driver_id for driver_id in driver_ids if self._absent_until.get(driver_id, now) > now}

    def _remember(self, absent: Collection[str]) -> None:
        now = self.clock()
        if len(self._absent_until) + len(absent) > ABSENT_MAX:
            self._absent_until = {id: until for id, until in self._absent_until.items() if until > now}
        if len(self._absent_until) + len(absent) > ABSENT_MAX:
            self._absent_until.clear()
        self._absent_until |= dict.fromkeys(absent, now + ABSENT_SECONDS)
