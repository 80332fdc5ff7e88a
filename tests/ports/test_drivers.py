"""The contract of `Drivers`, in memory and in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from gofleet.adapters.postgres.drivers import PostgresDrivers
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.driver import Driver, DriverFilter
from gofleet.domain.errors import DriverNotFound, OffDutyByStaff
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


STAFF, OTHER = "dispatcher:dora", "admin:max"


async def test_what_staff_set_off_duty_only_staff_set_on_again(drivers: Drivers) -> None:
    await drivers.put(Driver("ana", "Ana"))

    off = await drivers.set_duty("ana", False, STAFF)
    assert (off.on_duty, off.off_duty_by, off.version) == (False, STAFF, 2)
    with pytest.raises(OffDutyByStaff):
        await drivers.set_duty("ana", True, None)
    for who in (None, OTHER, STAFF):  # it is so already
        assert await drivers.set_duty("ana", False, who) == off
    assert await drivers.get("ana") == (await drivers.list(DriverFilter(), 1))[0] == off
    assert list(await drivers.get_many(["ana"])) == [off]

    on = await drivers.set_duty("ana", True, OTHER)
    assert (on.on_duty, on.off_duty_by, on.version) == (True, None, 3)


async def test_what_a_driver_set_off_duty_it_sets_on_again(drivers: Drivers) -> None:
    await drivers.put(Driver("ana", "Ana"))

    off = await drivers.set_duty("ana", False, None)
    assert (off.on_duty, off.off_duty_by, off.version) == (False, None, 2)
    assert (await drivers.set_duty("ana", True, None)).version == 3


async def test_staff_may_confirm_what_a_driver_set(drivers: Drivers) -> None:
    await drivers.put(Driver("ana", "Ana"))
    await drivers.set_duty("ana", False, None)

    confirmed = await drivers.set_duty("ana", False, STAFF)
    assert (confirmed.off_duty_by, confirmed.version) == (STAFF, 3)
    with pytest.raises(OffDutyByStaff):
        await drivers.set_duty("ana", True, None)


async def test_a_record_that_sets_a_driver_off_duty_is_the_word_of_staff(drivers: Drivers) -> None:
    await drivers.put(Driver("ana", "Ana"), STAFF)
    await drivers.put(Driver("bia", "Bia", on_duty=False), STAFF)  # registered before her first shift
    assert (await drivers.set_duty("bia", True, None)).on_duty

    await drivers.put(Driver("ana", "Ana", on_duty=False), STAFF)
    renamed = await drivers.put(Driver("ana", "Ana Alves", on_duty=False), OTHER)
    assert (renamed.name, renamed.off_duty_by) == ("Ana Alves", STAFF)
    with pytest.raises(OffDutyByStaff):
        await drivers.set_duty("ana", True, None)
    assert (await drivers.change(Driver("ana", "Ana"), frozenset({3}), OTHER)).off_duty_by is None
    assert (await drivers.change(Driver("ana", "Ana", on_duty=False), frozenset({4}), OTHER)).off_duty_by == OTHER


async def test_a_mark_left_by_an_older_process_counts_for_nothing(clean_database: str) -> None:
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        drivers = PostgresDrivers(pool)
        await drivers.put(Driver("ana", "Ana"))
        await drivers.set_duty("ana", False, STAFF)
        async with pool.connection() as connection:
            await connection.execute("update drivers set on_duty = true, version = version + 1")

        assert (await drivers.get("ana")).off_duty_by is None
        assert (await drivers.set_duty("ana", False, None)).off_duty_by is None
        assert (await drivers.set_duty("ana", True, None)).on_duty


async def test_an_unknown_driver_is_not_found(drivers: Drivers) -> None:
    with pytest.raises(DriverNotFound):
        await drivers.get("ana")
    with pytest.raises(DriverNotFound):
        await drivers.set_duty("ana", True, None)


async def test_drivers_are_listed_by_id_a_page_at_a_time(drivers: Drivers) -> None:
    for id in ("c", "a", "b"):
        await drivers.put(Driver(id, id.upper()))

    assert [driver.id for driver in await drivers.list(DriverFilter(), 2)] == ["a", "b"]
    assert [driver.id for driver in await drivers.list(DriverFilter("b"), 2)] == ["c"]
    assert await drivers.list(DriverFilter("c"), 2) == []
