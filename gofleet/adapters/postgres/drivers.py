"""The drivers' records, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from gofleet.adapters.postgres.links import Pool, link_from
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.driver import Driver
from gofleet.domain.errors import NoSuchDriver

DRIVERS = Queries("drivers")


class PostgresDrivers:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def put(self, driver: Driver) -> Driver:
        values = {"id": driver.id, "name": driver.name, "on_duty": driver.on_duty}
        async with link_from(self._pool) as link:
            written = await link.execute(DRIVERS.put, values)
            row = await written.fetchone()
        return Driver(*row) if row else await self.get(driver.id)

    async def get(self, driver_id: str) -> Driver:
        async with link_from(self._pool) as link:
            found = await link.execute(DRIVERS.get, {"id": driver_id})
            row = await found.fetchone()
        if row is None:
            raise NoSuchDriver(driver_id)
        return Driver(*row)

    async def list(self, after: str, limit: int) -> Sequence[Driver]:
        async with link_from(self._pool) as link:
            found = await link.execute(DRIVERS.list, {"after": after, "limit": limit})
            return [Driver(*row) for row in await found.fetchall()]
