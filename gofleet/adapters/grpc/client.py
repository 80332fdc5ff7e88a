"""The client of the fleet service. Concurrent searches share a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from types import TracebackType

from grpclib import GRPCError, Status

from gofleet.adapters.batcher import Batcher
from gofleet.adapters.grpc.columns import (
    SEARCHES_MAX,
    SearchItem,
    SearchOutcome,
    decode_area,
    decode_batch_result,
    decode_candidates,
    decode_nearest,
    decode_outcomes,
    decode_sightings,
    encode_positions,
    encode_searches,
    to_epoch_ms,
)
from gofleet.adapters.grpc.connection import FleetConnection, metadata
from gofleet.adapters.grpc.pb import (
    FindDriversRequest,
    LocateDriversRequest,
    NearestDriversRequest,
    RegisterDriverRequest,
    SearchDriverRequest,
    StreamPositionsRequest,
    UpdatePositionRequest,
)
from gofleet.adapters.grpc.search_streams import REFUSED, SearchStreams
from gofleet.adapters.tls import Certificates
from gofleet.domain.driver import AreaQuery, Candidate, Driver, DriversInArea, Position, PositionBatchResult, Sighting
from gofleet.domain.errors import DriverNotFound, FleetUnavailable
from gofleet.domain.place import Place
from gofleet.ports import Search

SEARCH_CONCURRENCY = 2
SINGLE_SEARCHES_SECONDS = 30.0
"""How long searches go to an older service, which has no streams of them, in single calls before it is tried again."""
GRACE_SECONDS = 0.05
"""Lets the call, which knows and counts the reason, time out before its callers."""


class GrpcFleet:
    """`Fleet` over one connection, opened at the first call and reopened when lost.

    Create it inside a running event loop. Every call ends within `timeout_seconds`. With `certificates` the connection
    uses mutual TLS.
    """

    def __init__(
        self, host: str, port: int, *, timeout_seconds: float = 1.5, certificates: Certificates | None = None
    ) -> None:
        self._connection = FleetConnection(host, port, timeout_seconds, certificates and certificates.for_client())
        self._stub = self._connection.stub
        self._searches = _Searches(self._connection)
        self._timeout_seconds = timeout_seconds

    async def __aenter__(self) -> GrpcFleet:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Calls in flight fail; a later call reconnects."""
        self._connection.close()

    async def search(self, search: Search) -> list[Candidate]:
        """As `Fleet.search`; `Invalid` if the service refuses the search itself."""
        with self._connection.call_span("SearchDriver", empty=Status.NOT_FOUND) as traceparent:
            return await self._searches(search, traceparent)
        return []

    async def register(self, driver: Driver) -> None:
        """As `Fleet.register`; `Invalid` if the service refuses the driver."""
        request = RegisterDriverRequest(driver_id=driver.id, name=driver.name, on_duty=driver.on_duty)
        with self._connection.call("RegisterDriver") as metadata:
            await self._stub.register_driver(request, timeout=self._timeout_seconds, metadata=metadata)

    async def update_position(self, position: Position) -> bool:
        """As `Fleet.update_position`; `Invalid` if the service refuses the position."""
        return await self._update_position(position, None)

    async def update_own_position(self, position: Position, max_kmh: float) -> bool:
        """As `Fleet.update_own_position`."""
        return await self._update_position(position, max_kmh)

    async def _update_position(self, position: Position, max_kmh: float | None) -> bool:
        request = UpdatePositionRequest(
            driver_id=position.driver_id,
            lat=position.place.lat,
            lng=position.place.lng,
            recorded_at_ms=to_epoch_ms(position.recorded_at),
            max_kmh=max_kmh,
        )
        with self._connection.call("UpdatePosition", empty=Status.NOT_FOUND) as metadata:
            response = await self._stub.update_position(request, timeout=self._timeout_seconds, metadata=metadata)
            return response.applied
        raise DriverNotFound(position.driver_id)

    async def update_positions(self, positions: Sequence[Position]) -> PositionBatchResult:
        """As `Fleet.update_positions`; `Invalid` if there are more than 1000."""
        with self._connection.call("StreamPositions") as metadata:
            response = await self._stub.stream_positions(
                [encode_positions(positions)], timeout=self._timeout_seconds, metadata=metadata
            )
        return decode_batch_result(response)

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        """As `Fleet.nearest`; `Invalid` if the service refuses the request, such as a radius above its maximum."""
        request = NearestDriversRequest(lat=place.lat, lng=place.lng, radius_km=radius_km, limit=limit)
        with self._connection.call("NearestDrivers") as metadata:
            response = await self._stub.nearest_drivers(request, timeout=self._timeout_seconds, metadata=metadata)
            return decode_nearest(response)

    async def within(self, area: AreaQuery) -> DriversInArea:
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
            count=area.count,
        )
        with self._connection.call("FindDrivers") as metadata:
            response = await self._stub.find_drivers(request, timeout=self._timeout_seconds, metadata=metadata)
            return decode_area(response)

    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]:
        """As `Fleet.locate`; `Invalid` if the service refuses an id, or the number of ids."""
        request = LocateDriversRequest(driver_ids=list(driver_ids))
        with self._connection.call("LocateDrivers") as metadata:
            response = await self._stub.locate_drivers(request, timeout=self._timeout_seconds, metadata=metadata)
            return decode_sightings(response)

    async def stream_positions(self, batches: AsyncIterable[Sequence[Position]]) -> PositionBatchResult:
        """Send batches (of at most 1000) until `batches` ends; `FleetUnavailable` as soon as the service is.

        The timeout bounds sending each batch and the final response, not the pauses between batches.
        """
        with self._connection.call("StreamPositions") as metadata:
            async with asyncio.timeout(None) as deadline:
                requests = self._bounded(batches, deadline)
                return decode_batch_result(await self._stub.stream_positions(requests, metadata=metadata))

    async def _bounded(
        self, batches: AsyncIterable[Sequence[Position]], deadline: asyncio.Timeout
    ) -> AsyncGenerator[StreamPositionsRequest]:
        """The batches as messages; `deadline` applies while the service is awaited, and not while the next batch is."""
        loop = asyncio.get_running_loop()
        async for batch in batches:
            deadline.reschedule(loop.time() + self._timeout_seconds)
            yield encode_positions(batch)
            deadline.reschedule(None)
        deadline.reschedule(loop.time() + self._timeout_seconds)


class _Searches:
    """Sends searches that are made while others are in flight as one request. Each ends within the connection's
    `timeout_seconds`, and fails as if it had a call of its own."""

    def __init__(self, connection: FleetConnection) -> None:
        self._connection = connection
        self._streams = SearchStreams(connection)
        self._batcher = Batcher(self._send, max_size=SEARCHES_MAX, concurrency=SEARCH_CONCURRENCY)
        self._single_until = 0.0

    async def __call__(self, search: Search, traceparent: str | None) -> list[Candidate]:
        """Raises the search's status as a GRPCError, or `FleetUnavailable`."""
        lat, lng = search.pickup.lat, search.pickup.lng
        item = SearchItem(search.order_id, lat, lng, search.radius_km, search.limit, search.exclude, traceparent)
        try:
            async with asyncio.timeout(self._connection.timeout_seconds + GRACE_SECONDS):
                return await self._batcher(item)
        except TimeoutError as error:
            raise FleetUnavailable("no answer in time") from error

    async def _send(self, searches: Sequence[SearchItem]) -> Sequence[SearchOutcome]:
        now, connection = asyncio.get_running_loop().time(), self._connection
        if now < self._single_until:
            return await asyncio.gather(*map(self._send_one, searches))
        try:
            with connection.exchange(len(searches)):
                async with asyncio.timeout(connection.timeout_seconds):
                    response = await self._streams.ask(encode_searches(searches))
        except GRPCError as error:
            if error.status is Status.UNIMPLEMENTED:
                self._single_until = now + SINGLE_SEARCHES_SECONDS
            if error.status in REFUSED:
                return await asyncio.gather(*map(self._send_one, searches))
            return [error] * len(searches)
        return decode_outcomes(response, len(searches))

    async def _send_one(self, search: SearchItem) -> SearchOutcome:
        connection = self._connection
        request = SearchDriverRequest(
            order_id=search.order_id,
            pickup_lat=search.pickup_lat,
            pickup_lng=search.pickup_lng,
            radius_km=search.radius_km,
            limit=search.limit,
            exclude=list(search.exclude),
        )
        try:
            with connection.exchange():
                response = await connection.stub.search_driver(
                    request, timeout=connection.timeout_seconds, metadata=metadata(search.traceparent)
                )
            return decode_candidates(response)
        except (GRPCError, FleetUnavailable) as error:
            return error
