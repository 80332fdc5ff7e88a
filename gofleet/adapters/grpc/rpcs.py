"""The RPCs of the fleet service: requests are validated and executed on `Positions`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from math import isfinite

from grpclib import GRPCError

from gofleet import failpoints
from gofleet.adapters.grpc.calls import instrument_call
from gofleet.adapters.grpc.columns import (
    SearchItem,
    decode_position,
    decode_positions,
    decode_searches,
    encode_candidates,
    encode_nearest,
    encode_outcomes,
    encode_sightings,
)
from gofleet.adapters.grpc.pb import (
    FindDriversRequest,
    FindDriversResponse,
    FleetServiceBase,
    LocateDriversRequest,
    LocateDriversResponse,
    NearestDriversRequest,
    NearestDriversResponse,
    RegisterDriverRequest,
    RegisterDriverResponse,
    SearchDriverRequest,
    SearchDriverResponse,
    SearchDriversRequest,
    SearchDriversResponse,
    StreamPositionsRequest,
    StreamPositionsResponse,
    UpdatePositionRequest,
    UpdatePositionResponse,
)
from gofleet.domain.driver import AreaQuery, Candidate, Driver, PositionOutcome
from gofleet.domain.errors import DriverNotFound, Invalid, NoDriverNearby
from gofleet.domain.place import BoundingBox, Place
from gofleet.domain.values import identifier
from gofleet.ports import Positions, Search
from gofleet.telemetry.tracing import set_order_id
from gofleet.usecases.registration import TrackDrivers

CANDIDATES_DEFAULT = 5
CANDIDATES_MAX = 50
EXCLUDED_MAX = 100
DRIVERS_DEFAULT = 100
DRIVERS_MAX = 500
UNREGISTERED_MAX = 1000
"""Unregistered drivers that the response to a stream names; further ones are only counted."""


@dataclass(frozen=True)
class FleetRpcs(FleetServiceBase):
    """Raises domain errors, which `calls.py` translates to gRPC statuses."""

    positions: Positions
    tracking: TrackDrivers
    depot: Place | None
    default_radius_km: float
    max_radius_km: float
    claim_ms: int
    clock: Callable[[], datetime]

    async def search_driver(self, search_driver_request: SearchDriverRequest) -> SearchDriverResponse:
        return encode_candidates(await self._claim_nearest(search_driver_request), self.claim_ms)

    async def search_drivers(self, search_drivers_request: SearchDriversRequest) -> SearchDriversResponse:
        async def search(item: SearchItem) -> list[Candidate] | GRPCError:
            return await instrument_call("SearchDriver", item.traceparent, partial(self._claim_nearest, item))

        outcomes = await asyncio.gather(*map(search, decode_searches(search_drivers_request)))
        return encode_outcomes(outcomes, self.claim_ms)

    async def stream_searches(
        self, search_drivers_request_iterator: AsyncIterator[SearchDriversRequest]
    ) -> AsyncIterator[SearchDriversResponse]:
        async for request in search_drivers_request_iterator:
            yield await self.search_drivers(request)

    async def update_position(self, update_position_request: UpdatePositionRequest) -> UpdatePositionResponse:
        request, now = update_position_request, self.clock()
        position = decode_position(request.driver_id, request.lat, request.lng, request.recorded_at_ms, now)
        if request.max_kmh is None:
            [outcome] = await self.tracking.update_positions([position])
        elif isfinite(request.max_kmh) and request.max_kmh > 0:
            outcome = await self.tracking.update_own_position(position, request.max_kmh)
        else:
            raise Invalid("max_kmh", "must be above 0")
        if outcome is PositionOutcome.UNREGISTERED:
            raise DriverNotFound(position.driver_id)
        return UpdatePositionResponse(applied=outcome is PositionOutcome.STORED)

    async def stream_positions(
        self, stream_positions_request_iterator: AsyncIterator[StreamPositionsRequest]
    ) -> StreamPositionsResponse:
        counts, unregistered = StreamPositionsResponse(), dict[str, None]()
        async for batch in stream_positions_request_iterator:
            valid, refused = decode_positions(batch, self.clock())
            outcomes = await self.tracking.update_positions(valid) if valid else []
            counts.accepted += outcomes.count(PositionOutcome.STORED)
            counts.older += outcomes.count(PositionOutcome.OLDER)
            counts.refused += refused + outcomes.count(PositionOutcome.UNREGISTERED)
            for position, outcome in zip(valid, outcomes, strict=True):
                if outcome is PositionOutcome.UNREGISTERED and len(unregistered) < UNREGISTERED_MAX:
                    unregistered[position.driver_id] = None
        counts.unregistered = list(unregistered)
        return counts

    async def register_driver(self, register_driver_request: RegisterDriverRequest) -> RegisterDriverResponse:
        request = register_driver_request
        driver = Driver(request.driver_id, request.name, on_duty=request.on_duty is not False)
        await self.tracking.register(driver.checked().id)
        return RegisterDriverResponse()

    async def nearest_drivers(self, nearest_drivers_request: NearestDriversRequest) -> NearestDriversResponse:
        request = nearest_drivers_request
        place = Place(request.lat, request.lng).checked("place")
        limit = min(request.limit or CANDIDATES_DEFAULT, CANDIDATES_MAX)
        return encode_nearest(await self.positions.nearest(place, self._radius(request.radius_km), limit))

    async def find_drivers(self, find_drivers_request: FindDriversRequest) -> FindDriversResponse:
        request = find_drivers_request
        box = BoundingBox(request.min_lng, request.min_lat, request.max_lng, request.max_lat).checked("box")
        limit = min(request.limit or DRIVERS_DEFAULT, DRIVERS_MAX)
        found = await self.positions.within(AreaQuery(box, request.free, request.on_duty, limit, request.count))
        response = FindDriversResponse(truncated=found.truncated, total=found.total)
        return encode_sightings(found.sightings, response)

    async def locate_drivers(self, locate_drivers_request: LocateDriversRequest) -> LocateDriversResponse:
        driver_ids = locate_drivers_request.driver_ids
        if len(driver_ids) > DRIVERS_MAX:
            raise Invalid("driver_ids", f"must name at most {DRIVERS_MAX} drivers")
        checked = [identifier("driver_ids", driver_id) for driver_id in driver_ids]
        return encode_sightings(await self.positions.locate(checked), LocateDriversResponse())

    async def _claim_nearest(self, request: SearchDriverRequest | SearchItem) -> list[Candidate]:
        search = self._search(request)
        set_order_id(search.order_id)
        candidates = await self.positions.claim_nearest(search)
        failpoints.hit("fleet.after_claim")
        if not candidates:
            raise NoDriverNearby(search.order_id, search.radius_km)
        return candidates

    def _radius(self, requested_km: float) -> float:
        radius_km = requested_km or self.default_radius_km
        if not (isfinite(radius_km) and 0 < radius_km <= self.max_radius_km):
            raise Invalid("radius_km", f"must be above 0 and at most {self.max_radius_km:g}")
        return radius_km

    def _search(self, request: SearchDriverRequest | SearchItem) -> Search:
        if len(request.exclude) > EXCLUDED_MAX:
            raise Invalid("exclude", f"must name at most {EXCLUDED_MAX} drivers")
        return Search(
            order_id=identifier("order_id", request.order_id),
            pickup=self._pickup(request),
            radius_km=self._radius(request.radius_km),
            limit=min(request.limit or CANDIDATES_DEFAULT, CANDIDATES_MAX),
            exclude=tuple(identifier("exclude", driver_id) for driver_id in request.exclude),
        )

    def _pickup(self, request: SearchDriverRequest | SearchItem) -> Place:
        if request.pickup_lat is None and request.pickup_lng is None:
            if self.depot is None:
                raise Invalid("pickup", "is required, because this fleet has no depot")
            return self.depot
        if request.pickup_lat is None or request.pickup_lng is None:
            raise Invalid("pickup", "must have both lat and lng")
        return Place(request.pickup_lat, request.pickup_lng).checked("pickup")
