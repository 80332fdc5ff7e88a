"""The drivers' records in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gofleet.domain.driver import Driver, DriverFilter
from gofleet.domain.errors import DriverNotFound, VersionMismatch
from gofleet.domain.order import Status
from gofleet.domain.principal import CLIENT, Actor
from gofleet.testing.orders import MemoryOrders


@dataclass
class MemoryDrivers:
    """`Drivers` in memory, in one database with the orders of a `MemoryOrders`."""

    orders: MemoryOrders = field(default_factory=MemoryOrders)

    def __post_init__(self) -> None:
        if self.orders.drivers is None:
            self.orders.drivers = {}
        self.rows = self.orders.drivers

    async def put(self, driver: Driver, staff: Actor = CLIENT) -> Driver:
        stored = self.rows.get(driver.id)
        if stored is None:
            self.rows[driver.id] = driver
        elif not _same(stored, driver):
            duty = stored if stored.on_duty == driver.on_duty else stored.with_duty(on_duty=driver.on_duty, staff=staff)
            self.rows[driver.id] = replace(duty, name=driver.name, version=stored.version + 1)
        return self._shown(self.rows[driver.id])

    async def change(self, driver: Driver, versions: frozenset[int] | None, staff: Actor = CLIENT) -> Driver:
        stored = self.rows.get(driver.id)
        if stored is None:
            raise VersionMismatch(f"driver {driver.id}", None)
        if not _same(stored, driver) and versions is not None and stored.version not in versions:
            raise VersionMismatch(f"driver {driver.id}", stored.version)
        return await self.put(driver, staff)

    async def set_duty(self, driver_id: str, on_duty: bool, staff: Actor | None = CLIENT) -> Driver:
        if driver_id not in self.rows:
            raise DriverNotFound(driver_id)
        stored = self.rows[driver_id]
        changed = stored.with_duty(on_duty=on_duty, staff=staff)
        if changed != stored:
            self.rows[driver_id] = replace(changed, version=stored.version + 1)
        return self._shown(self.rows[driver_id])

    async def get(self, driver_id: str) -> Driver:
        if driver_id not in self.rows:
            raise DriverNotFound(driver_id)
        return self._shown(self.rows[driver_id])

    async def list(self, criteria: DriverFilter, limit: int) -> Sequence[Driver]:
        found = [self._shown(self.rows[id]) for id in sorted(self.rows) if id > criteria.after]
        return [one for one in found if criteria.free in {None, one.free} and criteria.on_duty in {None, one.on_duty}][
            :limit
        ]

    async def get_many(self, driver_ids: Sequence[str]) -> Sequence[Driver]:
        return [self._shown(self.rows[id]) for id in driver_ids if id in self.rows]

    async def find(self, driver_id: str) -> Driver | None:
        return self._shown(self.rows[driver_id]) if driver_id in self.rows else None

    def _shown(self, driver: Driver) -> Driver:
        live = (
            order.id
            for order in self.orders.rows.values()
            if order.status is Status.DISPATCHED and order.driver_id == driver.id
        )
        return replace(driver, order_id=next(live, None))


def _same(one: Driver, other: Driver) -> bool:
    return (one.name, one.on_duty) == (other.name, other.on_duty)
