"""The fleet service as the other roles see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Sequence
from contextlib import contextmanager
from types import TracebackType

from grpclib import GRPCError, Status
from grpclib.client import Channel
from grpclib.exceptions import ProtocolError, StreamTerminatedError
from opentelemetry.trace import Span

from gofleet.adapters.grpc.answers import candidates, moved, near, shown
from gofleet.adapters.grpc.codec import StrictCodec
from gofleet.adapters.grpc.columns import batch_of, milliseconds
from gofleet.adapters.grpc.pb import (
    FindDriversRequest,
    FleetServiceStub,
    LocateDriversRequest,
    NearestDriversRequest,
    RegisterDriverRequest,
    SearchDriverRequest,
    StreamPositionsRequest,
    UpdatePositionRequest,
)
from gofleet.domain.driver import Area, Candidate, Driver, Moved, Position, Sighting
from gofleet.domain.errors import FleetUnavailable, Invalid
from gofleet.domain.place import Place
from gofleet.ports import Search
from gofleet.telemetry.tracing import TRACEPARENT, current_traceparent, step

SERVICE = "pb.FleetService"
SILENCES = 3
"""Calls in a row without any answer, after which the connection counts as dead."""
NO_ANSWER = (TimeoutError, OSError, StreamTerminatedError, ProtocolError, AssertionError)
"""How grpclib tells that nothing came; the AssertionError is betterproto's for a call that ended without a message."""
CLOSED_CONNECTION = "_transport"
"""The attribute that a connection of grpclib loses when it is closed."""


class GrpcFleet:
    """`Fleet` over one connection, made at the first call and made again whenever it is lost.

    Create it inside a running event loop. Every call ends within `timeout_seconds`.
    """

    def __init__(self, host: str, port: int, *, timeout_seconds: float = 1.5) -> None:
        self._address = {"server.address": host, "server.port": port}
        self._channel = Channel(host, port, codec=StrictCodec(Status.INTERNAL))
        self._stub = FleetServiceStub(self._channel)
        self._timeout_seconds = timeout_seconds
        self._silences = 0

    async def __aenter__(self) -> GrpcFleet:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Calls in hand fail; a later call would connect again."""
        self._channel.close()

    async def search(self, search: Search) -> list[Candidate]:
        """As `Fleet.search`; `Invalid` if the service refuses the search itself."""
        request = SearchDriverRequest(
            order_id=search.order_id,
            pickup_lat=search.pickup.lat,
            pickup_lng=search.pickup.lng,
            radius_km=search.radius_km,
            limit=search.limit,
            exclude=list(search.exclude),
        )
        with self._calling("SearchDriver", nobody=Status.NOT_FOUND) as metadata:
            answer = await self._stub.search_driver(request, timeout=self._timeout_seconds, metadata=metadata)
            return candidates(answer)
        return []

    async def register(self, driver: Driver) -> None:
        """As `Fleet.register`; `Invalid` if the service refuses the driver."""
        request = RegisterDriverRequest(driver_id=driver.id, name=driver.name, on_duty=driver.on_duty)
        with self._calling("RegisterDriver") as metadata:
            await self._stub.register_driver(request, timeout=self._timeout_seconds, metadata=metadata)

    async def move(self, position: Position) -> bool:
        """As `Fleet.move`; `Invalid` if the service refuses the position."""
        request = UpdatePositionRequest(
            driver_id=position.driver_id,
            lat=position.place.lat,
            lng=position.place.lng,
            recorded_at_ms=milliseconds(position.recorded_at),
        )
        with self._calling("UpdatePosition") as metadata:
            answer = await self._stub.update_position(request, timeout=self._timeout_seconds, metadata=metadata)
        return answer.applied

    async def move_all(self, positions: Sequence[Position]) -> Moved:
        """As `Fleet.move_all`; `Invalid` if there are more than 1000."""
        with self._calling("StreamPositions") as metadata:
            answer = await self._stub.stream_positions(
                [batch_of(positions)], timeout=self._timeout_seconds, metadata=metadata
            )
        return moved(answer)

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        """As `Fleet.nearest`; `Invalid` if the service refuses the question, such as a radius beyond its largest."""
        request = NearestDriversRequest(lat=place.lat, lng=place.lng, radius_km=radius_km, limit=limit)
        with self._calling("NearestDrivers") as metadata:
            return near(await self._stub.nearest_drivers(request, timeout=self._timeout_seconds, metadata=metadata))

    async def within(self, area: Area) -> list[Sighting]:
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
        with self._calling("FindDrivers") as metadata:
            return shown(await self._stub.find_drivers(request, timeout=self._timeout_seconds, metadata=metadata))

    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]:
        """As `Fleet.locate`; `Invalid` if the service refuses an id, or that many."""
        request = LocateDriversRequest(driver_ids=list(driver_ids))
        with self._calling("LocateDrivers") as metadata:
            return shown(await self._stub.locate_drivers(request, timeout=self._timeout_seconds, metadata=metadata))

    async def stream_positions(self, batches: AsyncIterable[Sequence[Position]]) -> Moved:
        """Send batches (of at most 1000) for as long as they come; `FleetUnavailable` as soon as the service is away.

        The timeout bounds each sending and the final answer, not the pauses between batches.
        """
        with self._calling("StreamPositions") as metadata:
            async with asyncio.timeout(None) as limit:
                return moved(await self._stub.stream_positions(self._bounded(batches, limit), metadata=metadata))

    async def _bounded(
        self, batches: AsyncIterable[Sequence[Position]], limit: asyncio.Timeout
    ) -> AsyncGenerator[StreamPositionsRequest]:
        """The batches as messages; `limit` runs while we wait for the service, and stands still while it waits."""
        loop = asyncio.get_running_loop()
        async for batch in batches:
            limit.reschedule(loop.time() + self._timeout_seconds)
            yield batch_of(batch)
            limit.reschedule(None)
        limit.reschedule(loop.time() + self._timeout_seconds)

    @contextmanager
    def _calling(self, rpc: str, nobody: Status | None = None) -> Generator[dict[str, str]]:
        """A span around a call, the metadata to send with it, and our words for how it may fail. The status `nobody`
        is an answer, and ends the block quietly."""
        attributes = {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": rpc}
        with step(f"{SERVICE}/{rpc}", **attributes, **self._address) as current:
            traceparent = current_traceparent()
            try:
                yield {TRACEPARENT: traceparent} if traceparent else {}
                self._silences = 0
                _answered(current, Status.OK)
            except GRPCError as error:
                self._silences = 0
                _answered(current, error.status)
                if error.status is nobody:
                    return
                if error.status is Status.INVALID_ARGUMENT:
                    field, _, why = (error.message or "").partition(" ")
                    raise Invalid(field or "request", why or "was refused by the fleet service") from error
                raise FleetUnavailable(f"{error.status.name}: {error.message}") from error
            except NO_ANSWER as error:
                self._hang_up_if_dead()
                raise FleetUnavailable(str(error) or type(error).__name__) from error
            except AttributeError as error:
                # How grpclib tells that another call closed the connection between our taking it and our using it.
                if error.name != CLOSED_CONNECTION:
                    raise
                raise FleetUnavailable("the connection was lost") from error

    def _hang_up_if_dead(self) -> None:
        """A peer that vanished without a goodbye leaves a connection on which every call waits in vain, for minutes."""
        self._silences += 1
        if self._silences >= SILENCES:
            self._silences = 0
            self._channel.close()


def _answered(call: Span, status: Status) -> None:
    call.set_attribute("rpc.grpc.status_code", status.value)
