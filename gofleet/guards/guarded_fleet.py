"""The circuit breaker around the fleet service: the innermost guard, right at the call it protects."""

from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.driver import Candidate, Driver, Position
from gofleet.domain.errors import FleetBreakerOpen
from gofleet.guards.breaker import BreakerOpen, RatioBreaker
from gofleet.ports import Fleet, Search


@dataclass(frozen=True)
class GuardedFleet:
    """A `Fleet` that is left alone while its breaker is open. Only `FleetUnavailable` counts against it."""

    fleet: Fleet
    breaker: RatioBreaker

    async def search(self, search: Search) -> list[Candidate]:
        try:
            return await self.breaker.call(lambda: self.fleet.search(search))
        except BreakerOpen as error:
            raise FleetBreakerOpen(error.retry_after_seconds) from error

    async def register(self, driver: Driver) -> None:
        await self.fleet.register(driver)

    async def move(self, position: Position) -> bool:
        return await self.fleet.move(position)
