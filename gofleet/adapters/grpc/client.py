"""The fleet service as the other roles see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from types import TracebackType

from grpclib import Status

from gofleet.adapters.grpc.answers import decode_batch_result, decode_nearest, decode_sightings
from gofleet.adapters.grpc.columns import encode_positions, to_epoch_ms
from gofleet.adapters.grpc.connection import FleetConnection
from gofleet.adapters.grpc.pb import (
    FindDriversRequest,
    LocateDriversRequest,
    NearestDriversRequest,
    RegisterDriverRequest,
    StreamPositionsRequest,
    UpdatePositionRequest,
)
from gofleet.adapters.grpc.searches import Searches
from gofleet.adapters.grpc.tls import Certificates
from gofleet.domain.driver import AreaQuery, Candidate, Driver, Position, PositionBatchResult, Sighting
from gofleet.domain.place import Place
from gofleet.ports import Search


class GrpcFleet:
    """`Fleet` over one connection, made at the first call and made again whenever it is lost.

    Create it inside a running event loop. Every call ends within `timeout_seconds`. With `certificates` the link is
    encrypted, and each end proves who it is.
    """

    def __init__(
        self, host: str, port: int, *, timeout_seconds: float = 1.5, certificates: Certificates | None = None
    ) -> None:
        self._connection = FleetConnection(host, port, timeout_seconds, certificates and certificates.for_client())
        self._stub = self._connection.stub
        self._searches = Searches(self._connection)
        self._timeout_seconds = timeout_seconds

    async def __aenter__(self) -> GrpcFleet:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Calls in hand fail; a later call would connect again."""
        self._connection.close()

    async def search(self, search: Search) -> list[Candidate]:
        """As `Fleet.search`; `Invalid` if the service refuses the search itself."""
        with self._connection.telling("SearchDriver", nobody=Status.NOT_FOUND) as traceparent:
            return await self._searches(search, traceparent)
        return []

    async def register(self, driver: Driver) -> None:
        """As `Fleet.register`; `Invalid` if the service refuses the driver."""
        request = RegisterDriverRequest(driver_id=driver.id, name=driver.name, on_duty=driver.on_duty)
        with self._connection.calling("RegisterDriver") as metadata:
            await self._stub.register_driver(request, timeout=self._timeout_seconds, metadata=metadata)

    async def update_position(self, position: Position) -> bool:
        """As `Fleet.move`; `Invalid` if the service refuses the position."""
        request = UpdatePositionRequest(
            driver_id=position.driver_id,
            lat=position.place.lat,
            lng=position.place.lng,
            recorded_at_ms=to_epoch_ms(position.recorded_at),
        )
        with self._connection.calling("UpdatePosition") as metadata:
            answer = await self._stub.update_position(request, timeout=self._timeout_seconds, metadata=metadata)
        return answer.applied

    async def update_positions(self, positions: Sequence[Position]) -> PositionBatchResult:
        """As `Fleet.move_all`; `Invalid` if there are more than 1000."""
        with self._connection.calling("StreamPositions") as metadata:
            answer = await self._stub.stream_positions(
                [encode_positions(positions)], timeout=self._timeout_seconds, metadata=metadata
            )
        return decode_batch_result(answer)

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        """As `Fleet.nearest`; `Invalid` if the service refuses the question, such as a radius beyond its largest."""
        request = NearestDriversRequest(lat=place.lat, lng=place.lng, radius_km=radius_km, limit=limit)
        with self._connection.calling("NearestDrivers") as metadata:
            return decode_nearest(
                await self._stub.nearest_drivers(request, timeout=self._timeout_seconds, metadata=metadata)
            )

    async def within(self, area: AreaQuery) -> list[Sighting]:
        """As `Fleet.within`; `Invalid` if the service refuses the box."""
        box = area.box
        request = FindDriversRequest(
            min_lng=box.min_lng,
            min_lat=box.min_lat,
            max_lng=box.max_lng,
            max_lat=box.max_lat,
            free=area.free,
            on_duty=area.on_duty,
            limit=area.limit,
        )
        with self._connection.calling("FindDrivers") as metadata:
            return decode_sightings(
                await self._stub.find_drivers(request, timeout=self._timeout_seconds, metadata=metadata)
            )

    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]:
        """As `Fleet.locate`; `Invalid` if the service refuses an id, or that many."""
        request = LocateDriversRequest(driver_ids=list(driver_ids))
        with self._connection.calling("LocateDrivers") as metadata:
            return decode_sightings(
                await self._stub.locate_drivers(request, timeout=self._timeout_seconds, metadata=metadata)
            )

    async def stream_positions(self, batches: AsyncIterable[Sequence[Position]]) -> PositionBatchResult:
        """Send batches (of at most 1000) for as long as they come; `FleetUnavailable` as soon as the service is away.

        The timeout bounds each sending and the final answer, not the pauses between batches.
        """
        with self._connection.calling("StreamPositions") as metadata:
            async with asyncio.timeout(None) as limit:
                return decode_batch_result(
                    await self._stub.stream_positions(self._bounded(batches, limit), metadata=metadata)
                )

    async def _bounded(
        self, batches: AsyncIterable[Sequence[Position]], limit: asyncio.Timeout
    ) -> AsyncGenerator[StreamPositionsRequest]:
        """The batches as messages; `limit` runs while we wait for the service, and stands still while it waits."""
        loop = asyncio.get_running_loop()
        async for batch in batches:
            limit.reschedule(loop.time() + self._timeout_seconds)
            yield encode_positions(batch)
            limit.reschedule(None)
        limit.reschedule(loop.time() + self._timeout_seconds)
