"""Driver records in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString

from gofleet.adapters.batcher import Batcher
from gofleet.adapters.postgres.pool import Pool, acquire, fetch_rows
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.driver import Driver, DriverFilter
from gofleet.domain.errors import DriverNotFound, VersionMismatch
from gofleet.domain.principal import CLIENT, Actor

DRIVERS = Queries("drivers")
FOUND_MAX = 1000
"""Drivers that are looked up in one statement."""


class PostgresDrivers:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.find: Batcher[str, Driver | None] = Batcher(self._find, max_size=FOUND_MAX)

    async def put(self, driver: Driver, staff: Actor = CLIENT) -> Driver:
        return await self._one(DRIVERS.put, _record(driver) | {"staff": staff}) or await self.get(driver.id)

    async def change(self, driver: Driver, versions: frozenset[int] | None, staff: Actor = CLIENT) -> Driver:
        values = _record(driver) | {"staff": staff, "versions": None if versions is None else sorted(versions)}
        if changed := await self._one(DRIVERS.change, values):
            return changed
        try:
            stored = await self.get(driver.id)
        except DriverNotFound as error:
            raise VersionMismatch(f"driver {driver.id}", None) from error
        if _record(stored) != _record(driver):
            raise VersionMismatch(f"driver {driver.id}", stored.version)
        return stored

    async def set_duty(self, driver_id: str, on_duty: bool, staff: Actor | None = CLIENT) -> Driver:
        if changed := await self._one(DRIVERS.set_duty, {"id": driver_id, "on_duty": on_duty, "staff": staff}):
            return changed
        stored = await self.get(driver_id)
        stored.with_duty(on_duty=on_duty, staff=staff)  # raises if the statement changed nothing for this reason
        return stored

    async def get(self, driver_id: str) -> Driver:
        if driver := await self._one(DRIVERS.get, {"id": driver_id}):
            return driver
        raise DriverNotFound(driver_id)

    async def list(self, criteria: DriverFilter, limit: int) -> Sequence[Driver]:
        values = {"after": criteria.after, "free": criteria.free, "on_duty": criteria.on_duty, "limit": limit}
        return await self._all(DRIVERS.list, values)

    async def get_many(self, driver_ids: Sequence[str]) -> Sequence[Driver]:
        return await self._all(DRIVERS.among, {"ids": list(driver_ids)})

    async def _find(self, driver_ids: Sequence[str]) -> Sequence[Driver | None]:
        found = {driver.id: driver for driver in await self.get_many(list(set(driver_ids)))}
        return [found.get(driver_id) for driver_id in driver_ids]

    async def _one(self, query: LiteralString, values: Mapping[str, object]) -> Driver | None:
        drivers = await self._all(query, values)
        return drivers[0] if drivers else None

    async def _all(self, query: LiteralString, values: Mapping[str, object]) -> Sequence[Driver]:
        async with acquire(self._pool) as connection:
            return [Driver(**row) for row in await fetch_rows(connection, query, values)]


def _record(driver: Driver) -> dict[str, object]:
    return {"id": driver.id, "name": driver.name, "on_duty": driver.on_duty}
