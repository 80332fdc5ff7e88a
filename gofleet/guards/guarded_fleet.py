"""The circuit breaker around the fleet service: the innermost guard, right at the call it protects."""

from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.driver import Candidate
from gofleet.domain.errors import FleetBreakerOpen
from gofleet.guards.breaker import BreakerOpen, RatioBreaker
from gofleet.ports import DriverSearch, Search


@dataclass(frozen=True)
class GuardedFleet:
    """The fleet service, left alone while its breaker is open. Only `FleetUnavailable` counts against it."""

    fleet: DriverSearch
    breaker: RatioBreaker

    async def search(self, search: Search) -> list[Candidate]:
        try:
            return await self.breaker.call(lambda: self.fleet.search(search))
        except BreakerOpen as error:
            raise FleetBreakerOpen(error.retry_after_seconds) from error
