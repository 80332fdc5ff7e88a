"""Location updates of drivers that the fleet does not know: looked up, and remembered if they have no record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gofleet.domain.driver import Driver, PositionOutcome
from gofleet.domain.errors import DriverNotFound, Unavailable
from gofleet.ports import Search
from gofleet.testing.drivers import MemoryDrivers
from gofleet.testing.positions import MemoryPositions
from gofleet.usecases import registration
from gofleet.usecases.registration import ABSENT_MAX, ABSENT_SECONDS, RETRY_SECONDS, TrackDrivers
from tests.makers import CENTRE, a_position

STORED, OLDER, UNREGISTERED = PositionOutcome.STORED, PositionOutcome.OLDER, PositionOutcome.UNREGISTERED


@dataclass
class Records(MemoryDrivers):
    """Counts lookups; `silent` does not answer, `away` refuses."""

    looked_up: list[str] = field(default_factory=list[str])
    away: bool = False
    silent: bool = False

    async def find(self, driver_id: str) -> Driver | None:
        self.looked_up.append(driver_id)
        if self.silent:
            await asyncio.Event().wait()
        if self.away:
            raise Unavailable("PostgreSQL", "away")
        return await super().find(driver_id)


@dataclass
class Fleet:
    records: Records = field(default_factory=Records)
    positions: MemoryPositions = field(default_factory=MemoryPositions)
    now: float = 100.0

    def __post_init__(self) -> None:
        self.tracking = TrackDrivers(self.positions, self.records, clock=lambda: self.now)

    async def send(self, *driver_ids: str) -> Sequence[PositionOutcome]:
        return await self.tracking.update_positions([a_position(driver_id) for driver_id in driver_ids])

    async def free(self) -> list[str]:
        found = await self.positions.claim_nearest(Search("o-1", CENTRE, 5, 50))
        return sorted(candidate.driver_id for candidate in found)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


async def test_an_unknown_driver_with_a_record_is_registered_as_it_says(fleet: Fleet) -> None:
    await fleet.records.put(Driver("ana", "Ana"))
    await fleet.records.put(Driver("off", "Off", on_duty=False))

    assert await fleet.send("ana", "off", "ana") == [STORED, STORED, STORED]

    assert await fleet.free() == ["ana"]
    assert [each.on_duty for each in await fleet.positions.locate(["ana", "off"])] == [True, False]
    assert sorted(fleet.records.looked_up) == ["ana", "off"]
    await fleet.send("ana", "off")
    assert len(fleet.records.looked_up) == 2


async def test_a_driver_without_a_record_is_looked_up_every_few_seconds_only(fleet: Fleet) -> None:
    await fleet.records.put(Driver("ana", "Ana"))

    assert await fleet.send("ghost", "ana") == [UNREGISTERED, STORED]
    for _ in range(20):
        assert await fleet.send("ghost") == [UNREGISTERED]

    assert fleet.records.looked_up.count("ghost") == 1
    assert await fleet.free() == ["ana"]
    assert await fleet.positions.locate(["ghost"]) == []
    fleet.now += ABSENT_SECONDS
    await fleet.records.put(Driver("ghost", "Ghost"))
    assert await fleet.send("ghost") == [STORED]
    assert await fleet.free() == ["ana", "ghost"]


async def test_a_registered_driver_counts_at_once_where_it_was_last(fleet: Fleet) -> None:
    assert await fleet.send("ana") == [UNREGISTERED]
    await fleet.records.put(Driver("ana", "Ana"))

    await fleet.tracking.register("ana")

    assert await fleet.free() == ["ana"]


async def test_a_driver_without_a_record_cannot_be_registered(fleet: Fleet) -> None:
    await fleet.send("ana")

    with pytest.raises(DriverNotFound):
        await fleet.tracking.register("ana")

    assert await fleet.free() == []


async def test_own_positions_are_treated_alike(fleet: Fleet) -> None:
    await fleet.records.put(Driver("ana", "Ana"))

    assert await fleet.tracking.update_own_position(a_position("ana"), 200) is STORED
    assert await fleet.tracking.update_own_position(a_position("ana", age_seconds=9), 200) is OLDER
    assert await fleet.tracking.update_own_position(a_position("ghost"), 200) is UNREGISTERED
    assert await fleet.free() == ["ana"]


@pytest.mark.parametrize("silent", [False, True])
async def test_updates_do_not_wait_for_an_unavailable_database(
    fleet: Fleet, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "LOOKUP_TIMEOUT_SECONDS", 0.02)
    await fleet.records.put(Driver("ana", "Ana"))
    fleet.records.silent, fleet.records.away = silent, not silent

    async with asyncio.timeout(1):
        for _ in range(100):
            assert await fleet.send("ana", "ghost") == [STORED, STORED]

    assert len(fleet.records.looked_up) == 2
    assert await fleet.free() == []
    fleet.records.silent = fleet.records.away = False
    fleet.now += RETRY_SECONDS
    assert await fleet.send("ghost", "ana") == [UNREGISTERED, STORED]
    assert await fleet.free() == ["ana"]


async def test_it_remembers_a_bounded_number_of_absent_records(fleet: Fleet) -> None:
    for first in range(0, 2 * ABSENT_MAX, 1000):
        await fleet.send(*(f"x-{number}" for number in range(first, first + 1000)))

    assert len(fleet.tracking._absent_until) <= ABSENT_MAX  # pyright: ignore[reportPrivateUsage]
