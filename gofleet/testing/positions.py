"""In-memory `Positions`, equivalent to `RedisPositions`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from gofleet.domain.driver import (
    AreaQuery,
    Candidate,
    Driver,
    DriversInArea,
    Position,
    PositionOutcome,
    PositionTooFar,
    Sighting,
    TravelBudget,
)
from gofleet.domain.place import Place, distance_m
from gofleet.ports import Holding, Search


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class _DriverState:
    """The state of one driver; `orders` are the orders it holds, with their sequences."""

    record: Driver | None = None
    position: Position | None = None
    heard_at: datetime | None = None
    budget: TravelBudget = field(default_factory=TravelBudget)
    charged_at: datetime | None = None
    orders: dict[str, int] = field(default_factory=dict[str, int])
    freed: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class _Claim:
    order_id: str
    until: datetime


class MemoryPositions:
    """`Positions` that are never unavailable; only the position of a driver without updates expires."""

    def __init__(
        self,
        *,
        stale_seconds: float = 60.0,
        claim_ms: int = 10_000,
        forget_seconds: float = 7 * 86_400,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._forget = timedelta(seconds=forget_seconds)
        self._stale = timedelta(seconds=stale_seconds)
        self._claim = timedelta(milliseconds=claim_ms)
        self._clock = clock
        self._drivers: dict[str, _DriverState] = {}
        self._claims: dict[str, _Claim] = {}

    async def claim_nearest(self, search: Search) -> list[Candidate]:
        """Free drivers by distance; the first is claimed for the order, or its claim is prolonged."""
        now = self._clock()
        self._claims = {driver_id: claim for driver_id, claim in self._claims.items() if claim.until > now}
        own = {driver_id for driver_id, claim in self._claims.items() if claim.order_id == search.order_id}
        near = [
            candidate
            for driver_id in self._drivers.keys() - set(search.exclude) - (self._claims.keys() - own)
            if (candidate := self._candidate(driver_id, search.pickup, now))
            and candidate.distance_m <= search.radius_km * 1000
        ]
        near.sort(key=lambda candidate: (candidate.driver_id not in own, candidate.distance_m))
        for driver_id in own:
            del self._claims[driver_id]
        if near:
            self._claims[near[0].driver_id] = _Claim(search.order_id, now + self._claim)
        return near[: search.limit]

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        """Drivers on duty near `place`, nearest first, free or not."""
        radius_m = radius_km * 1000
        near = [each for each in self._sightings(place) if each.on_duty and each.distance_m <= radius_m]
        return near[:limit]

    async def within(self, area: AreaQuery) -> DriversInArea:
        """Drivers inside the area, nearest to its centre first."""
        found = [each for each in self._sightings(area.box.center) if area.matches(each)]
        return DriversInArea(found[: area.limit], len(found) > area.limit, len(found) if area.count else None)

    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]:
        """The drivers whose position is known, each once."""
        return [each for driver_id in dict.fromkeys(driver_ids) if (each := self._sighting(driver_id))]

    async def update_positions(self, positions: Sequence[Position]) -> list[PositionOutcome]:
        """Store validated positions that are not older than the stored ones."""
        return [self._move(position) for position in positions]

    async def update_own_position(self, position: Position, max_kmh: float) -> PositionOutcome:
        """As `update_positions` for one position, which is charged to the driver's `TravelBudget`; `PositionTooFar`."""
        known, now = self._known(position.driver_id), self._clock()
        if known.record is None:
            return self._move(position)
        if (before := known.position) and before.recorded_at <= position.recorded_at:
            metres = distance_m(before.place, position.place)
            device_time = position.recorded_at - before.recorded_at
            server_time = now - (known.charged_at or before.recorded_at)
            budget = known.budget.after(metres, max_kmh, device_time, server_time)
            if budget is None:
                raise PositionTooFar(max_kmh)
            known.budget, known.charged_at = budget, now
        elif before is None:
            known.charged_at = now
        return self._move(position)

    async def register(self, driver: Driver, seen: int | None = None) -> None:
        """A driver off duty is never found; back on duty, its stored position counts if it is fresh."""
        known = self._known(driver.id)
        if known.record is None or known.record.version <= driver.version or known.record.version == seen:
            known.record, known.heard_at = driver, self._clock()

    async def unregister(self, driver_id: str, seen: int | None) -> None:
        """The driver is no longer found or seen until it is registered again."""
        known = self._known(driver_id)
        if known.record and known.record.version == seen:
            known.record = None

    async def registrations(self, limit: int) -> AsyncGenerator[Mapping[str, int | None]]:
        """Drivers and their registered versions."""
        ids = [id for id, known in self._drivers.items() if known.record or known.position]
        for start in range(0, len(ids), limit):
            yield {id: (record := self._drivers[id].record) and record.version for id in ids[start : start + limit]}

    async def occupy(self, driver_id: str, order_id: str, sequence: int) -> None:
        """The driver holds the order since event `sequence`, unless a later event has freed it already."""
        known = self._known(driver_id)
        if known.freed.get(order_id, 0) >= sequence:
            return
        known.orders[order_id] = max(sequence, known.orders.get(order_id, 0))
        if (claim := self._claims.get(driver_id)) and claim.order_id == order_id:
            del self._claims[driver_id]

    async def free(self, driver_id: str, order_id: str, sequence: int) -> None:
        """The driver no longer holds the order since event `sequence`; its other orders stay."""
        known = self._known(driver_id)
        if known.orders.get(order_id, 0) <= sequence:
            known.orders.pop(order_id, None)
        known.freed[order_id] = max(sequence, known.freed.get(order_id, 0))

    async def holdings(self) -> Sequence[Holding]:
        """The orders of all drivers."""
        return [
            Holding(driver_id, order_id, sequence)
            for driver_id, known in self._drivers.items()
            for order_id, sequence in known.orders.items()
        ]

    def _known(self, driver_id: str) -> _DriverState:
        return self._drivers.setdefault(driver_id, _DriverState())

    def _move(self, position: Position) -> PositionOutcome:
        known = self._known(position.driver_id)
        older = known.position is not None and known.position.recorded_at > position.recorded_at
        if not older:
            known.position, known.heard_at = position, self._clock()
        if known.record is None:
            return PositionOutcome.UNREGISTERED
        return PositionOutcome.OLDER if older else PositionOutcome.STORED

    def _sightings(self, place: Place) -> list[Sighting]:
        """All drivers whose position is known, nearest first."""
        sightings = [each for driver_id in self._drivers if (each := self._sighting(driver_id))]
        measured = [replace(each, distance_m=distance_m(each.position.place, place)) for each in sightings]
        return sorted(measured, key=lambda sighting: sighting.distance_m)

    def _sighting(self, driver_id: str) -> Sighting | None:
        known, now = self._drivers.get(driver_id), self._clock()
        if known is None or known.position is None or known.heard_at is None or now - known.heard_at > self._forget:
            return None
        if (record := known.record) is None:
            return None
        return Sighting(known.position, record.name, record.on_duty, self._is_free(known, now), bool(known.orders))

    def _is_free(self, known: _DriverState, now: datetime) -> bool:
        """Registered and on duty, with a fresh position, and without an order."""
        seen = known.position and now - known.position.recorded_at <= self._stale
        return bool(seen and known.record and known.record.on_duty and not known.orders)

    def _candidate(self, driver_id: str, pickup: Place, now: datetime) -> Candidate | None:
        known = self._drivers[driver_id]
        if known.position is None or known.record is None or not self._is_free(known, now):
            return None
        place = known.position.place
        return Candidate(driver_id, known.record.name, place, distance_m(place, pickup))
