"""A fleet in memory for tests of the API and of use cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gofleet.domain.driver import (
    AreaQuery,
    Candidate,
    Driver,
    DriversInArea,
    Position,
    PositionBatchResult,
    PositionOutcome,
    Sighting,
)
from gofleet.domain.errors import DriverNotFound, FleetUnavailable
from gofleet.domain.place import Place
from gofleet.ports import Search
from gofleet.testing.positions import MemoryPositions


@dataclass
class FakeFleet:
    """A fleet that records what it receives, or is unavailable."""

    unavailable: bool = False
    drivers: list[Driver] = field(default_factory=list[Driver])
    positions: list[Position] = field(default_factory=list[Position])
    map: MemoryPositions = field(default_factory=MemoryPositions)

    async def search(self, search: Search) -> list[Candidate]:
        raise AssertionError("the API makes no driver search")

    async def register(self, driver: Driver) -> None:
        self._answer()
        self.drivers.append(driver)
        await self.map.register(driver)

    async def update_position(self, position: Position) -> bool:
        self._answer()
        self.positions.append(position)
        [outcome] = await self.map.update_positions([position])
        return _stored(outcome, position)

    async def update_own_position(self, position: Position, max_kmh: float) -> bool:
        self._answer()
        outcome = await self.map.update_own_position(position, max_kmh)
        self.positions.append(position)
        return _stored(outcome, position)

    async def update_positions(self, positions: Sequence[Position]) -> PositionBatchResult:
        self._answer()
        self.positions += positions
        outcomes = await self.map.update_positions(positions)
        refused = [each for each, it in zip(positions, outcomes, strict=True) if it is PositionOutcome.UNREGISTERED]
        return PositionBatchResult(
            outcomes.count(PositionOutcome.STORED),
            outcomes.count(PositionOutcome.OLDER),
            len(refused),
            frozenset(position.driver_id for position in refused),
        )

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        self._answer()
        return await self.map.nearest(place, radius_km, limit)

    async def within(self, area: AreaQuery) -> DriversInArea:
        self._answer()
        return await self.map.within(area)

    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]:
        self._answer()
        return await self.map.locate(driver_ids)

    def _answer(self) -> None:
        if self.unavailable:
            raise FleetUnavailable("no answer from 10.1.2.3", retry_after_seconds=2.5)


def _stored(outcome: PositionOutcome, position: Position) -> bool:
    if outcome is PositionOutcome.UNREGISTERED:
        raise DriverNotFound(position.driver_id)
    return outcome is PositionOutcome.STORED
