"""The contract of `Drivers`, in memory and in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from gofleet.adapters.postgres.drivers import PostgresDrivers
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.driver import Driver, DriverFilter
from gofleet.domain.errors import DriverNotFound
from gofleet.ports import Drivers
from gofleet.testing.drivers import MemoryDrivers


@pytest.fixture(params=["memory", "postgres"])
async def drivers(request: pytest.FixtureRequest) -> AsyncGenerator[Drivers]:
    if request.param == "memory":
        yield MemoryDrivers()
        return
    async with create_pool(request.getfixturevalue("clean_database"), size=2, wait_seconds=5) as pool:
        yield PostgresDrivers(pool)


async def test_a_driver_is_read_as_saved(drivers: Drivers) -> None:
    assert await drivers.put(Driver("ana", "Ana Alves")) == Driver("ana", "Ana Alves", on_duty=True, version=1)
    assert await drivers.get("ana") == Driver("ana", "Ana Alves", on_duty=True, version=1)


async def test_only_a_change_increments_the_version(drivers: Drivers) -> None:
    await drivers.put(Driver("ana", "Ana"))

    assert (await drivers.put(Driver("ana", "Ana"))).version == 1
    assert (await drivers.put(Driver("ana", "Ana", on_duty=False))).version == 2
    assert (await drivers.get("ana")).on_duty is False


async def test_an_unknown_driver_is_not_found(drivers: Drivers) -> None:
    with pytest.raises(DriverNotFound):
        await drivers.get("ana")


async def test_drivers_are_listed_by_id_a_page_at_a_time(drivers: Drivers) -> None:
    for id in ("c", "a", "b"):
        await drivers.put(Driver(id, id.upper()))

    assert [driver.id for driver in await drivers.list(DriverFilter(), 2)] == ["a", "b"]
    assert [driver.id for driver in await drivers.list(DriverFilter("b"), 2)] == ["c"]
    assert await drivers.list(DriverFilter("c"), 2) == []
