"""The remote calls of the fleet service: messages in, `Positions` asked, messages out."""

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
    decode_position,
    decode_positions,
    encode_candidates,
    encode_nearest,
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
from gofleet.adapters.grpc.search_columns import SearchItem, decode_searches, encode_outcomes
from gofleet.domain.driver import AreaQuery, Candidate, Driver
from gofleet.domain.errors import Invalid, NoDriverNearby
from gofleet.domain.place import BoundingBox, Place
from gofleet.domain.values import identifier
from gofleet.ports import Positions, Search
from gofleet.telemetry.tracing import set_order_id

DEFAULT_CANDIDATES = 5
MOST_CANDIDATES = 50
MOST_EXCLUDED = 100
DEFAULT_FOUND = 100
MOST_FOUND = 500


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
        return encode_candidates(await self._found(search_driver_request), self.claim_ms)

    async def search_drivers(self, search_drivers_request: SearchDriversRequest) -> SearchDriversResponse:
        async def outcome(one: SearchItem) -> list[Candidate] | GRPCError:
            return await instrument_call("SearchDriver", one.traceparent, partial(self._found, one))

        outcomes = await asyncio.gather(*map(outcome, decode_searches(search_drivers_request)))
        return encode_outcomes(outcomes, self.claim_ms)

    async def update_position(self, update_position_request: UpdatePositionRequest) -> UpdatePositionResponse:
        asked, now = update_position_request, self.clock()
        fix = decode_position(asked.driver_id, asked.lat, asked.lng, asked.recorded_at_ms, now)
        [applied] = await self.positions.update_positions([fix])
        return UpdatePositionResponse(applied=applied)

    async def stream_positions(
        self, stream_positions_request_iterator: AsyncIterator[StreamPositionsRequest]
    ) -> StreamPositionsResponse:
        counts = StreamPositionsResponse()
        async for batch in stream_positions_request_iterator:
            possible, refused = decode_positions(batch, self.clock())
            applied = await self.positions.update_positions(possible) if possible else []
            counts.accepted += sum(applied)
            counts.older += len(applied) - sum(applied)
            counts.refused += refused
        return counts

    async def register_driver(self, register_driver_request: RegisterDriverRequest) -> RegisterDriverResponse:
        asked = register_driver_request
        driver = Driver(asked.driver_id, asked.name, on_duty=asked.on_duty is not False)
        await self.positions.register(driver.checked())
        return RegisterDriverResponse()

    async def nearest_drivers(self, nearest_drivers_request: NearestDriversRequest) -> NearestDriversResponse:
        asked = nearest_drivers_request
        place = Place(asked.lat, asked.lng).checked("place")
        limit = min(asked.limit or DEFAULT_CANDIDATES, MOST_CANDIDATES)
        return encode_nearest(await self.positions.nearest(place, self._radius(asked.radius_km), limit))

    async def find_drivers(self, find_drivers_request: FindDriversRequest) -> FindDriversResponse:
        asked = find_drivers_request
        box = BoundingBox(asked.min_lng, asked.min_lat, asked.max_lng, asked.max_lat).checked("box")
        limit = min(asked.limit or DEFAULT_FOUND, MOST_FOUND)
        area = AreaQuery(box, asked.free, asked.on_duty, limit)
        return encode_sightings(await self.positions.within(area), FindDriversResponse())

    async def locate_drivers(self, locate_drivers_request: LocateDriversRequest) -> LocateDriversResponse:
        asked = locate_drivers_request.driver_ids
        if len(asked) > MOST_FOUND:
            raise Invalid("driver_ids", f"must name at most {MOST_FOUND} drivers")
        wanted = [identifier("driver_ids", driver_id) for driver_id in asked]
        return encode_sightings(await self.positions.locate(wanted), LocateDriversResponse())

    async def _found(self, asked: SearchDriverRequest | SearchItem) -> list[Candidate]:
        search = self._search(asked)
        set_order_id(search.order_id)
        found = await self.positions.claim_nearest(search)
        failpoints.hit("fleet.after_claim")
        if not found:
            raise NoDriverNearby(search.order_id, search.radius_km)
        return found

    def _radius(self, asked_km: float) -> float:
        radius_km = asked_km or self.default_radius_km
        if not (isfinite(radius_km) and 0 < radius_km <= self.max_radius_km):
            raise Invalid("radius_km", f"must be above 0 and at most {self.max_radius_km:g}")
        return radius_km

    def _search(self, asked: SearchDriverRequest | SearchItem) -> Search:
        if len(asked.exclude) > MOST_EXCLUDED:
            raise Invalid("exclude", f"must name at most {MOST_EXCLUDED} drivers")
        return Search(
            order_id=identifier("order_id", asked.order_id),
            pickup=self._pickup(asked),
            radius_km=self._radius(asked.radius_km),
            limit=min(asked.limit or DEFAULT_CANDIDATES, MOST_CANDIDATES),
            exclude=tuple(identifier("exclude", driver_id) for driver_id in asked.exclude),
        )

    def _pickup(self, asked: SearchDriverRequest | SearchItem) -> Place:
        if asked.pickup_lat is None and asked.pickup_lng is None:
            if self.depot is None:
                raise Invalid("pickup", "is needed, for this fleet has no depot")
            return self.depot
        if asked.pickup_lat is None or asked.pickup_lng is None:
            raise Invalid("pickup", "needs both its lat and its lng")
        return Place(asked.pickup_lat, asked.pickup_lng).checked("pickup")
