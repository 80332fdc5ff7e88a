"""Google's own client for a service known only by its descriptors, and positions that misbehave on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, TrailersReceived

from gofleet.adapters.grpc.server import fleet_server
from gofleet.domain.driver import AreaQuery, Candidate, Driver, DriversInArea, Position, PositionOutcome, Sighting
from gofleet.domain.place import Place
from gofleet.ports import Drivers, Positions, Search
from gofleet.telemetry.tracing import current_trace_id
from gofleet.testing.drivers import MemoryDrivers
from gofleet.testing.positions import MemoryPositions
from tests.makers import CENTRE

OURS = (files("gofleet.adapters.grpc") / "pb" / "fleet.binpb").read_bytes()


class StockClient:
    """Calls `FleetService` at `port` through grpcio, as a program in another language would.

    It blocks, so each method does its work in a thread. Fields and answers are grpcio's own messages.
    """

    def __init__(self, port: int, descriptors: bytes) -> None:
        self._pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(descriptors).file:
            self._pool.Add(file)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.seconds = 5.0
        self.metadata: tuple[tuple[str, str | bytes], ...] = ()

    async def call(self, rpc: str, /, **values: object) -> Any:
        """A unary call; RpcError after `seconds`."""
        request = self._message(f"{rpc}Request")
        answer = self._message(f"{rpc}Response").FromString
        call: grpc.UnaryUnaryMultiCallable[Any, Any] = self.channel.unary_unary(
            f"/pb.FleetService/{rpc}", request.SerializeToString, answer
        )
        message = request(**values)
        return await asyncio.to_thread(lambda: call(message, timeout=self.seconds, metadata=self.metadata))

    async def stream(self, rpc: str, requests: Iterable[Mapping[str, object]]) -> Any:
        """A call with a stream of requests; RpcError after `seconds`."""
        request = self._message(f"{rpc}Request")
        answer = self._message(f"{rpc}Response").FromString
        call: grpc.StreamUnaryMultiCallable[Any, Any] = self.channel.stream_unary(
            f"/pb.FleetService/{rpc}", request.SerializeToString, answer
        )
        messages = [request(**values) for values in requests]
        return await asyncio.to_thread(lambda: call(iter(messages), timeout=self.seconds))

    async def send(self, rpc: str, message: bytes) -> bytes:
        """A unary call with raw bytes."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(f"/pb.FleetService/{rpc}")
        return await asyncio.to_thread(lambda: call(message, timeout=self.seconds))

    async def health(self, service: str) -> int:
        """Status of `service` in the standard health service."""
        call: grpc.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse] = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        request = HealthCheckRequest(service=service)
        return (await asyncio.to_thread(lambda: call(request, timeout=self.seconds))).status

    def _message(self, name: str) -> Any:
        return GetMessageClass(self._pool.FindMessageTypeByName(f"pb.{name}"))


class WilfulPositions(MemoryPositions):
    """Fails with `failure`, or waits for `gate` to open, before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.trace_ids: list[str | None] = []

    async def claim_nearest(self, search: Search) -> list[Candidate]:
        await self._wait()
        return await super().claim_nearest(search)

    async def update_positions(self, positions: Sequence[Position]) -> list[PositionOutcome]:
        await self._wait()
        return await super().update_positions(positions)

    async def nearest(self, place: Place, radius_km: float, limit: int) -> list[Sighting]:
        await self._wait()
        return await super().nearest(place, radius_km, limit)

    async def within(self, area: AreaQuery) -> DriversInArea:
        await self._wait()
        return await super().within(area)

    async def locate(self, driver_ids: Sequence[str]) -> list[Sighting]:
        await self._wait()
        return await super().locate(driver_ids)

    async def _wait(self) -> None:
        self.entered.set()
        self.trace_ids.append(current_trace_id())
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.failure:
            raise self.failure


class AnyDriver(MemoryDrivers):
    """Records of drivers, in which every driver is found."""

    async def find(self, driver_id: str) -> Driver:
        return await super().find(driver_id) or Driver(driver_id, driver_id)

    async def get(self, driver_id: str) -> Driver:
        return await self.find(driver_id)


@asynccontextmanager
async def serving(
    positions: Positions,
    *,
    drivers: Drivers | None = None,
    depot: Place | None = CENTRE,
    port: int = 0,
    grace_seconds: float = 5,
    most_bytes: int = 1024 * 1024,
    reflection: bool = True,
    connections_max: int = 256,
    control_frames_max: int = 1000,
) -> AsyncGenerator[int]:
    """A fleet server on this machine; the block gets its port. Without `drivers`, every driver is registered."""
    async with fleet_server(
        positions,
        drivers or AnyDriver(),
        host="127.0.0.1",
        port=port,
        depot=depot,
        default_radius_km=5,
        max_radius_km=50,
        claim_ms=10_000,
        message_bytes_max=most_bytes,
        connections_max=connections_max,
        control_frames_max=control_frames_max,
        grace_seconds=grace_seconds,
        reflection=reflection,
    ) as bound:
        yield bound


@asynccontextmanager
async def a_client(
    positions: Positions, *, drivers: Drivers | None = None, most_bytes: int = 1024 * 1024
) -> AsyncGenerator[StockClient]:
    """A client of a fleet server that runs until the end of the block."""
    async with serving(positions, drivers=drivers, most_bytes=most_bytes) as port:
        client = StockClient(port, OURS)
        with client.channel:
            yield client


def status(failure: pytest.ExceptionInfo[grpc.RpcError]) -> tuple[grpc.StatusCode, str]:
    call = failure.value
    assert isinstance(call, grpc.Call)
    return call.code(), call.details() or ""


async def raw_call(port: int, path: str, sent: bytes, *, complete: bool = True) -> int:
    """The grpc-status of the response to these bytes; `complete` ends the request after them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    http2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    http2.initiate_connection()
    head = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "us", "te": "trailers"}
    http2.send_headers(1, [*head.items(), ("content-type", "application/grpc")])
    http2.send_data(1, sent, end_stream=complete)
    writer.write(http2.data_to_send())
    try:
        async with asyncio.timeout(5):
            while data := await reader.read(65_536):
                for event in http2.receive_data(data):
                    if isinstance(event, ResponseReceived | TrailersReceived):
                        headers = dict(event.headers)
                        if b"grpc-status" in headers:
                            return int(headers[b"grpc-status"])
    finally:
        writer.close()
    raise AssertionError("no status")
