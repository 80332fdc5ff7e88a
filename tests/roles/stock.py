"""Google's own client for a service known only by its descriptors, and positions that misbehave on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from gofleet.adapters.grpc.server import fleet_server
from gofleet.adapters.memory.positions import MemoryPositions
from gofleet.domain.driver import Candidate, Position
from gofleet.domain.place import Place
from gofleet.ports import Positions, Search
from gofleet.telemetry.tracing import current_trace_id
from tests.makers import CENTRE


class StockClient:
    """Calls `FleetService` at `port` through grpcio, as any program of any language would.

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
        """One message there, one back; RpcError after `seconds`."""
        request = self._message(f"{rpc}Request")
        answer = self._message(f"{rpc}Response").FromString
        call: grpc.UnaryUnaryMultiCallable[Any, Any] = self.channel.unary_unary(
            f"/pb.FleetService/{rpc}", request.SerializeToString, answer
        )
        message = request(**values)
        return await asyncio.to_thread(lambda: call(message, timeout=self.seconds, metadata=self.metadata))

    async def stream(self, rpc: str, requests: Iterable[Mapping[str, object]]) -> Any:
        """Many messages there, one back; RpcError after `seconds`."""
        request = self._message(f"{rpc}Request")
        answer = self._message(f"{rpc}Response").FromString
        call: grpc.StreamUnaryMultiCallable[Any, Any] = self.channel.stream_unary(
            f"/pb.FleetService/{rpc}", request.SerializeToString, answer
        )
        messages = [request(**values) for values in requests]
        return await asyncio.to_thread(lambda: call(iter(messages), timeout=self.seconds))

    async def send(self, rpc: str, message: bytes) -> bytes:
        """Any bytes there, any bytes back."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(f"/pb.FleetService/{rpc}")
        return await asyncio.to_thread(lambda: call(message, timeout=self.seconds))

    async def health(self, service: str) -> int:
        """What the standard health service says of `service`."""
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

    async def move(self, positions: Sequence[Position]) -> list[bool]:
        await self._wait()
        return await super().move(positions)

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


@asynccontextmanager
async def serving(
    positions: Positions, *, depot: Place | None = CENTRE, port: int = 0, grace_seconds: float = 5
) -> AsyncGenerator[int]:
    """A fleet server on this machine; the block gets its port."""
    async with fleet_server(
        positions,
        host="127.0.0.1",
        port=port,
        depot=depot,
        default_radius_km=5,
        max_radius_km=50,
        claim_ms=10_000,
        grace_seconds=grace_seconds,
    ) as bound:
        yield bound
