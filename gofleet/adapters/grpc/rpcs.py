"""The remote calls of the fleet service: messages in, `Positions` asked, messages out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite

from grpclib import GRPCError, Status

from gofleet import failpoints
from gofleet.adapters.grpc.pb import (
    FleetServiceBase,
    RegisterDriverRequest,
    RegisterDriverResponse,
    SearchDriverRequest,
    SearchDriverResponse,
    StreamPositionsRequest,
    StreamPositionsResponse,
    UpdatePositionRequest,
    UpdatePositionResponse,
)
from gofleet.domain.driver import Candidate, Driver, Position
from gofleet.domain.errors import Invalid
from gofleet.domain.ids import identifier
from gofleet.domain.place import Place
from gofleet.ports import Positions, Search

DEFAULT_CANDIDATES = 5
MOST_CANDIDATES = 50
MOST_EXCLUDED = 100
MOST_POSITIONS = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class FleetRpcs(FleetServiceBase):
    """Raises domain errors; `calls.py` tells them in gRPC's words."""

    positions: Positions
    depot: Place | None
    default_radius_km: float
    max_radius_km: float
    claim_ms: int
    clock: Callable[[], datetime]

    async def search_driver(self, search_driver_request: SearchDriverRequest) -> SearchDriverResponse:
        search = self._search(search_driver_request)
        found = await self.positions.claim_nearest(search)
        failpoints.hit("fleet.after_claim")
        if not found:
            raise GRPCError(Status.NOT_FOUND, f"no free driver within {search.radius_km:g} km")
        return _answer(found, self.claim_ms)

    async def update_position(self, update_position_request: UpdatePositionRequest) -> UpdatePositionResponse:
        asked, now = update_position_request, self.clock()
        position = _position(asked.driver_id, asked.lat, asked.lng, asked.recorded_at_ms, now)
        [applied] = await self.positions.move([position])
        return UpdatePositionResponse(applied=applied)

    async def stream_positions(
        self, stream_positions_request_iterator: AsyncIterator[StreamPositionsRequest]
    ) -> StreamPositionsResponse:
        counts = StreamPositionsResponse()
        async for batch in stream_positions_request_iterator:
            possible, refused = _positions(batch, self.clock())
            applied = await self.positions.move(possible) if possible else []
            counts.accepted += sum(applied)
            counts.older += len(applied) - sum(applied)
            counts.refused += refused
        return counts

    async def register_driver(self, register_driver_request: RegisterDriverRequest) -> RegisterDriverResponse:
        asked = register_driver_request
        driver = Driver(asked.driver_id, asked.name, on_duty=asked.on_duty is not False)
        await self.positions.register(driver.checked())
        return RegisterDriverResponse()

    def _search(self, asked: SearchDriverRequest) -> Search:
        radius_km = asked.radius_km or self.default_radius_km
        if not (isfinite(radius_km) and 0 < radius_km <= self.max_radius_km):
            raise Invalid("radius_km", f"must be above 0 and at most {self.max_radius_km:g}")
        if len(asked.exclude) > MOST_EXCLUDED:
            raise Invalid("exclude", f"must name at most {MOST_EXCLUDED} drivers")
        return Search(
            order_id=identifier("order_id", asked.order_id),
            pickup=self._pickup(asked),
            radius_km=radius_km,
            limit=min(asked.limit or DEFAULT_CANDIDATES, MOST_CANDIDATES),
            exclude=tuple(identifier("exclude", driver_id) for driver_id in asked.exclude),
        )

    def _pickup(self, asked: SearchDriverRequest) -> Place:
        if asked.pickup_lat is None and asked.pickup_lng is None:
            if self.depot is None:
                raise Invalid("pickup", "is needed, for this fleet has no depot")
            return self.depot
        if asked.pickup_lat is None or asked.pickup_lng is None:
            raise Invalid("pickup", "needs both its lat and its lng")
        return Place(asked.pickup_lat, asked.pickup_lng).checked("pickup")


def _answer(found: Sequence[Candidate], claim_ms: int) -> SearchDriverResponse:
    claimed, *others = found
    return SearchDriverResponse(
        driver_id=claimed.driver_id,
        name=claimed.name,
        lat=claimed.place.lat,
        lng=claimed.place.lng,
        distance_m=claimed.distance_m,
        claim_expires_in_ms=claim_ms,
        candidate_ids=[other.driver_id for other in others],
        candidate_names=[other.name for other in others],
        candidate_lats=[other.place.lat for other in others],
        candidate_lngs=[other.place.lng for other in others],
        candidate_distances_m=[other.distance_m for other in others],
    )


def _positions(batch: StreamPositionsRequest, now: datetime) -> tuple[list[Position], int]:
    """The possible ones of the batch, and how many are not."""
    columns = (batch.driver_ids, batch.lats, batch.lngs, batch.recorded_at_ms)
    if len({len(column) for column in columns}) > 1:
        raise Invalid("batch", "has columns of different lengths")
    if len(batch.driver_ids) > MOST_POSITIONS:
        raise Invalid("batch", f"must hold at most {MOST_POSITIONS} positions")
    possible: list[Position] = []
    for driver_id, lat, lng, recorded_at_ms in zip(*columns, strict=True):
        try:
            possible.append(_position(driver_id, lat, lng, recorded_at_ms, now))
        except Invalid:
            continue
    return possible, len(batch.driver_ids) - len(possible)


def _position(driver_id: str, lat: float, lng: float, recorded_at_ms: int, now: datetime) -> Position:
    try:
        recorded_at = EPOCH + timedelta(milliseconds=recorded_at_ms) if recorded_at_ms else now
    except OverflowError:
        raise Invalid("recorded_at", "is not a time") from None
    return Position(driver_id, Place(lat, lng), recorded_at).checked(now)
