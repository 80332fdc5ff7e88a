"""The contract of `Drivers`: concurrent changes, and the orders that drivers have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

import pytest

from gofleet.adapters.postgres.drivers import DRIVERS, PostgresDrivers
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.domain.driver import Driver, DriverFilter
from gofleet.domain.errors import DriverNotFound, VersionMismatch
from gofleet.domain.principal import CLIENT, WORKER
from gofleet.ports import Drivers, Orders
from gofleet.testing.drivers import MemoryDrivers
from gofleet.testing.orders import MemoryOrders
from tests.makers import an_order

ANY = 1000


@dataclass
class Records:
    drivers: Drivers
    orders: Orders

    async def give(self, driver_id: str) -> str:
        """An unfinished order of the driver, which has a record."""
        order = an_order(f"of-{driver_id}")
        await self.orders.add(order)
        order.dispatch(driver_id, by=WORKER)
        await self.orders.save(order)
        return order.id

    async def end(self, order_id: str) -> None:
        order = await self.orders.get(order_id)
        order.deliver(by=CLIENT)
        await self.orders.save(order)


@pytest.fixture(params=["memory", "postgres"])
async def records(request: pytest.FixtureRequest) -> AsyncGenerator[Records]:
    if request.param == "memory":
        orders = MemoryOrders()
        yield Records(MemoryDrivers(orders=orders), orders)
        return
    async with create_pool(request.getfixturevalue("clean_database"), size=8, wait_seconds=5) as pool:
        yield Records(PostgresDrivers(pool), PostgresOrders(pool))


async def test_a_driver_has_its_unfinished_order_only(records: Records) -> None:
    ana = await records.drivers.put(Driver("ana", "Ana"))
    assert (ana.order_id, ana.free) == (None, True)

    order_id = await records.give("ana")
    held = Driver("ana", "Ana", order_id=order_id)
    assert await records.drivers.get("ana") == held
    assert await records.drivers.put(Driver("ana", "Ana")) == held
    assert (await records.drivers.put(Driver("ana", "Ana Alves"))).order_id == order_id
    assert (await records.drivers.change(Driver("ana", "Ana"), frozenset({2}))).order_id == order_id
    assert (await records.drivers.set_duty("ana", on_duty=False)).order_id == order_id
    assert not held.free

    await records.end(order_id)
    assert (await records.drivers.get("ana")).order_id is None


async def test_a_change_applies_only_to_the_expected_versions(records: Records) -> None:
    await records.drivers.put(Driver("ana", "Ana"))

    assert (await records.drivers.change(Driver("ana", "Bia"), frozenset({1, 7}))).version == 2
    with pytest.raises(VersionMismatch) as refused:
        await records.drivers.change(Driver("ana", "Cai"), frozenset({1}))
    assert refused.value.version == 2
    for versions in (frozenset[int](), frozenset({9_999_999_999})):
        with pytest.raises(VersionMismatch):
            await records.drivers.change(Driver("ana", "Cai"), versions)
    assert await records.drivers.get("ana") == Driver("ana", "Bia", version=2)
    assert (await records.drivers.change(Driver("ana", "Cai"), None)).version == 3


async def test_a_repeated_change_returns_the_first_result(records: Records) -> None:
    await records.drivers.put(Driver("ana", "Ana"))
    changed = await records.drivers.change(Driver("ana", "Bia"), frozenset({1}))

    assert await records.drivers.change(Driver("ana", "Bia"), frozenset({1})) == changed


@pytest.mark.parametrize("versions", [None, frozenset({1})])
async def test_an_unknown_driver_cannot_be_changed(records: Records, versions: frozenset[int] | None) -> None:
    with pytest.raises(VersionMismatch) as refused:
        await records.drivers.change(Driver("ana", "Ana"), versions)
    assert refused.value.version is None

    with pytest.raises(DriverNotFound):
        await records.drivers.get("ana")
    with pytest.raises(DriverNotFound):
        await records.drivers.set_duty("ana", on_duty=True)


async def test_one_of_many_concurrent_changes_of_a_version_succeeds(records: Records) -> None:
    await records.drivers.put(Driver("ana", "Ana"))

    changes = [records.drivers.change(Driver("ana", f"Ana {n}"), frozenset({1})) for n in range(8)]
    ended = await asyncio.gather(*changes, return_exceptions=True)

    assert sorted(type(end).__name__ for end in ended) == ["Driver"] + ["VersionMismatch"] * 7
    assert (await records.drivers.get("ana")).version == 2


async def test_setting_the_same_duty_twice_counts_one_version(records: Records) -> None:
    await records.drivers.put(Driver("ana", "Ana"))

    assert await records.drivers.set_duty("ana", on_duty=True) == Driver("ana", "Ana")
    off = await records.drivers.set_duty("ana", on_duty=False, staff=None)
    assert off == Driver("ana", "Ana", on_duty=False, version=2)
    assert await records.drivers.set_duty("ana", on_duty=False, staff=None) == off


@pytest.mark.parametrize(
    ("which", "listed"),
    [
        (DriverFilter(), ["busy", "free", "off", "off-busy"]),
        (DriverFilter(free=True), ["free"]),
        (DriverFilter(free=False), ["busy", "off", "off-busy"]),
        (DriverFilter(on_duty=True), ["busy", "free"]),
        (DriverFilter(on_duty=False), ["off", "off-busy"]),
        (DriverFilter(free=False, on_duty=True), ["busy"]),
        (DriverFilter(free=True, on_duty=False), []),
        (DriverFilter(after="free"), ["off", "off-busy"]),
    ],
)
async def test_drivers_are_filtered_by_duty_and_availability(
    records: Records, which: DriverFilter, listed: list[str]
) -> None:
    for name in ("off-busy", "off", "free", "busy"):
        await records.drivers.put(Driver(name, name, on_duty="off" not in name))
        if "busy" in name:
            await records.give(name)

    assert [driver.id for driver in await records.drivers.list(which, ANY)] == listed
    assert [driver.id for driver in await records.drivers.list(which, 1)] == listed[:1]


async def test_many_are_read_at_once_and_those_without_a_record_left_out(records: Records) -> None:
    await records.drivers.put(Driver("ana", "Ana Alves", on_duty=False))
    await records.drivers.put(Driver("bia", "Bia"))
    order_id = await records.give("bia")
    expected = {
        "ana": Driver("ana", "Ana Alves", on_duty=False),
        "bia": Driver("bia", "Bia", order_id=order_id),
    }

    found = {driver.id: driver for driver in await records.drivers.get_many(["ana", "bia", "cai"])}

    assert found == expected
    assert list(await records.drivers.get_many([])) == []
    ids = ["ana", "cai", "bia", "ana"] * 20
    assert await asyncio.gather(*map(records.drivers.find, ids)) == [expected.get(id) for id in ids]


MANY_DRIVERS = """
insert into drivers (id, name, on_duty)
    select 'd-' || to_char(n, 'FM000000'), 'D', n % 3 > 0 from generate_series(1, 20000) n;
insert into orders (id, price, tax, final_price, status, driver_id)
    select 'o-' || n, 1, 0, 1, case when n <= 5000 then 'DISPATCHED' else 'DELIVERED' end,
           'd-' || to_char(case when n <= 5000 then n else n % 20000 end, 'FM000000')
    from generate_series(1, 60000) n;
"""


async def test_every_list_uses_an_index(clean_database: str) -> None:
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        async with pool.connection() as connection:
            for statement in MANY_DRIVERS.split(";\n")[:2]:
                await connection.execute(statement.encode())
            await connection.execute("analyze")
        filters = [(free, on_duty) for free in (None, True, False) for on_duty in (None, True, False)]
        for free, on_duty in filters:
            values = {"after": "d-000100", "free": free, "on_duty": on_duty, "limit": 51}
            await _reads_by_index(pool, DRIVERS.list, values)
        await _reads_by_index(pool, DRIVERS.get, {"id": "d-000100"})
        await _reads_by_index(pool, DRIVERS.among, {"ids": [f"d-{n:06}" for n in range(500)]})


async def _reads_by_index(pool: Pool, query: str, values: Mapping[str, object]) -> None:
    async with pool.connection() as connection:
        explained = await connection.execute(b"explain " + query.encode(), values)
        plan = "\n".join(str(row[0]) for row in await explained.fetchall())
    assert "Seq Scan" not in plan, plan
    assert "one_live_order_per_driver" in plan, plan
