"""The fleet service on the network: its port, its health and reflection, and its orderly stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import cast
from weakref import WeakSet

from grpclib import Status
from grpclib.config import Configuration
from grpclib.events import RecvRequest, listen
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.protocol import H2Protocol
from grpclib.reflection.service import ServerReflection
from grpclib.server import Server
from loguru import logger

from gofleet.adapters.grpc.calls import ActiveCalls
from gofleet.adapters.grpc.codec import StrictCodec
from gofleet.adapters.grpc.descriptors import descriptor_pool
from gofleet.adapters.grpc.rpcs import FleetRpcs
from gofleet.adapters.grpc.tls import Certificates, is_allowed, names_of
from gofleet.domain.place import Place
from gofleet.ports import Positions

CLOSE_SECONDS = 1.0
SMALLEST_WINDOW = 65_535
"""Bytes of one call that may arrive before anybody reads them: the least that HTTP/2 allows, and what a batch needs.
grpclib's own are 4 MiB, so a message that is refused would have been buffered up to there."""
MESSAGE_BYTES_MAX = 1024 * 1024


def _utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def fleet_server(
    positions: Positions,
    *,
    host: str,
    port: int,
    depot: Place | None,
    default_radius_km: float,
    max_radius_km: float,
    claim_ms: int,
    most_bytes: int = MESSAGE_BYTES_MAX,
    grace_seconds: float = 5.0,
    clock: Callable[[], datetime] = _utc_now,
    certificates: Certificates | None = None,
    callers: Collection[str] = (),
) -> AsyncGenerator[int]:
    """Serve `positions` over gRPC for the block and yield the bound port (`port` 0 = any free one; OSError if taken).

    A search without a pickup is made around `depot`; without a depot it is refused. `claim_ms` is what `positions`
    grants, told to callers. A message of more than `most_bytes` is refused by its length alone. At the end, new calls
    are refused and those in hand get up to `grace_seconds`. With `certificates` only those are listened to whose
    certificate has the name of one of `callers`.
    """
    fleet = FleetRpcs(positions, depot, default_radius_km, max_radius_km, claim_ms, clock)
    health, calls = ServiceStatus(), ActiveCalls(most_bytes)
    services = [fleet, Health({fleet: [health]})]
    server = _HangingUpServer(
        frozenset(callers) if certificates else None,
        ServerReflection.extend(services, pool=descriptor_pool()),
        codec=StrictCodec(Status.INVALID_ARGUMENT),
        config=Configuration(http2_stream_window_size=SMALLEST_WINDOW),
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
        server.hang_up()
        # From Python 3.12 on it waits for every connection: bounded, should one not want to go.
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), CLOSE_SECONDS)


class _HangingUpServer(Server):
    """grpclib's close() leaves connections open, and their callers would talk to a stopped server for ever."""

    def __init__(self, callers: frozenset[str] | None, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # pyright: ignore[reportArgumentType]
        self._callers = callers
        self._connections: WeakSet[H2Protocol] = WeakSet()

    def _protocol_factory(self) -> H2Protocol:
        connection = super()._protocol_factory()
        self._connections.add(connection)
        if self._callers is not None:
            _admit_only(connection, self._callers)
        return connection

    def hang_up(self) -> None:
        for connection in self._connections:
            if hasattr(connection, "processor"):  # set once it is connected
                connection.processor.close("the server stops")


def _admit_only(connection: H2Protocol, callers: frozenset[str]) -> None:
    """Hang up on everybody else before a byte of theirs is read; that their certificate is one of ours, TLS has seen.

    grpclib has no place for this but the two ends of a connection's life.
    """
    made, lost = connection.connection_made, connection.connection_lost

    def connected(transport: asyncio.BaseTransport) -> None:
        certificate = transport.get_extra_info("peercert")
        if is_allowed(certificate, callers):
            made(transport)
            return
        logger.bind(names=sorted(names_of(certificate))).warning("a caller whose certificate is not allowed")
        connection.connection_lost = _ignored
        cast("asyncio.Transport", transport).abort()

    connection.connection_made, connection.connection_lost = connected, lost


def _ignored(exc: BaseException | None) -> None:
    """It has never been a connection."""


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP: asyncio turns Nagle's algorithm off only then, and with it on every answer waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(256)
    except OSError:
        listening.close()
        raise
    return listening
