"""Serves the fleet service on a port, with health and reflection, and stops it gracefully."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from grpclib import Status
from grpclib.config import Configuration
from grpclib.events import RecvRequest, listen
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.reflection.service import ServerReflection

from gofleet.adapters.grpc.calls import ActiveCalls
from gofleet.adapters.grpc.codec import StrictCodec, descriptor_pool
from gofleet.adapters.grpc.rpcs import FleetRpcs
from gofleet.adapters.grpc.transport import BoundedServer
from gofleet.adapters.tls import Certificates
from gofleet.domain.place import Place
from gofleet.ports import Drivers, Positions
from gofleet.usecases.registration import TrackDrivers

CLOSE_SECONDS = 1.0
WINDOW_BYTES = 65_535
"""Bytes of one call that may arrive before they are read: HTTP/2's minimum, and enough for a batch. With grpclib's own
4 MiB, a message that is refused would have been buffered up to that size."""
MESSAGE_BYTES_MAX = 1024 * 1024
CONNECTIONS_MAX = 256
CONTROL_FRAMES_MAX = 1000


def _utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def fleet_server(
    positions: Positions,
    drivers: Drivers,
    *,
    host: str,
    port: int,
    depot: Place | None,
    default_radius_km: float,
    max_radius_km: float,
    claim_ms: int,
    message_bytes_max: int = MESSAGE_BYTES_MAX,
    connections_max: int = CONNECTIONS_MAX,
    control_frames_max: int = CONTROL_FRAMES_MAX,
    grace_seconds: float = 5.0,
    clock: Callable[[], datetime] = _utc_now,
    certificates: Certificates | None = None,
    callers: Collection[str] = (),
    reflection: bool = True,
) -> AsyncGenerator[int]:
    """Serve `positions` over gRPC for the block and yield the bound port (`port` 0 = any free one; OSError if taken).

    Drivers with a record in `drivers` are registered, others are not.

    A search without a pickup is made around `depot`; without a depot it is refused. `claim_ms` is the duration of the
    claims of `positions`, which responses report. A message of more than `message_bytes_max` is refused by its length
    alone. A connection beyond `connections_max` is closed at once, and one with more than `control_frames_max` control
    frames in ten seconds, beyond its calls, as well. At the end new calls are refused, and calls in flight have up to
    `grace_seconds`. With `certificates` only callers are accepted whose certificate has one of the names `callers`.
    `reflection` describes the service.
    """
    tracking = TrackDrivers(positions, drivers)
    fleet = FleetRpcs(positions, tracking, depot, default_radius_km, max_radius_km, claim_ms, clock)
    health, calls = ServiceStatus(), ActiveCalls(message_bytes_max)
    services = [fleet, Health({fleet: [health]})]
    server = BoundedServer(
        ServerReflection.extend(services, pool=descriptor_pool()) if reflection else services,
        callers=frozenset(callers) if certificates else None,
        connections_max=connections_max,
        control_frames_max=control_frames_max,
        codec=StrictCodec(Status.INVALID_ARGUMENT),
        config=Configuration(http2_stream_window_size=WINDOW_BYTES),
    )
    listen(server, RecvRequest, calls.admit)
    listening = _listen(host, port)
    try:
        await server.start(sock=listening, ssl=certificates and certificates.for_server())
    except OSError:
        listening.close()
        raise
    health.set(True)
    try:
        yield listening.getsockname()[1]
    finally:
        health.set(False)
        await calls.drain(grace_seconds)
        server.close()
        server.close_connections()
        # From Python 3.12 on it waits for every connection; bounded, in case one does not close.
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), CLOSE_SECONDS)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Explicitly TCP: only then does asyncio set TCP_NODELAY, without which every response waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(256)
    except OSError:
        listening.close()
        raise
    return listening
