"""The drivers' records in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gofleet.domain.driver import Driver
from gofleet.domain.errors import NoSuchDriver


@dataclass
class MemoryDrivers:
    rows: dict[str, Driver] = field(default_factory=dict[str, Driver])

    async def put(self, driver: Driver) -> Driver:
        stored = self.rows.get(driver.id)
        if stored is None:
            self.rows[driver.id] = driver
        elif (stored.name, stored.on_duty) != (driver.name, driver.on_duty):
            self.rows[driver.id] = replace(driver, version=stored.version + 1)
        return self.rows[driver.id]

    async def get(self, driver_id: str) -> Driver:
        if driver_id not in self.rows:
            raise NoSuchDriver(driver_id)
        return self.rows[driver_id]

    async def list(self, after: str, limit: int) -> Sequence[Driver]:
        return [self.rows[id] for id in sorted(self.rows) if id > after][:limit]
