"""Additions to grpclib: a limit of message sizes, connections that close with their server, and allowed callers.

This is the only module that uses undocumented parts of grpclib (pinned below 0.5), checked by
`tests/roles/test_fleet_client.py`, `test_fleet_grpc.py`, `test_fleet_limits.py` and `test_fleet_tls.py`:
`Stream._stream.recv_data`, `Server._protocol_factory`, `H2Protocol.processor`, `connection_made` and `connection_lost`
of a protocol, and `_transport`, which a closed client connection lacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, cast
from weakref import WeakSet

from grpclib import GRPCError, Status
from grpclib.exceptions import ProtocolError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream
from h2.exceptions import H2Error
from loguru import logger

from gofleet.adapters.tls import dns_names, is_allowed

NO_RESPONSE = (TimeoutError, OSError, StreamTerminatedError, ProtocolError, H2Error, AssertionError)
"""How grpclib reports a missing response. H2Error is h2's own, as for a message sent after the service has ended the
stream; the AssertionError is betterproto's for a call that ended without a message."""
CLOSED_CONNECTION_ATTRIBUTE = "_transport"


def is_closed_connection(error: AttributeError) -> bool:
    """Whether the error is how grpclib reports that another call closed the connection before this call used it."""
    return error.name == CLOSED_CONNECTION_ATTRIBUTE


def limit_message_size(stream: Stream[Any, Any], max_bytes: int) -> None:
    """Let `stream` end the call with RESOURCE_EXHAUSTED for a message of more than `max_bytes`.

    grpclib has no limit. It reads a message's length and then that many bytes, so the length alone decides here: of the
    message no more has been buffered than the HTTP/2 window allows.
    """
    http2_stream = stream._stream  # pyright: ignore[reportPrivateUsage]
    receive = http2_stream.recv_data

    async def recv_data(size: int) -> bytes:
        if size > max_bytes:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"a message may have at most {max_bytes} bytes")
        return await receive(size)

    http2_stream.recv_data = recv_data


class ClosingServer(Server):
    """A server that closes its connections: grpclib's `close()` leaves them open, and clients would call a stopped
    server forever. With `callers` only connections whose certificate has one of these names are accepted."""

    def __init__(self, callers: frozenset[str] | None, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # pyright: ignore[reportArgumentType]
        self._callers = callers
        self._connections: WeakSet[H2Protocol] = WeakSet()

    def _protocol_factory(self) -> H2Protocol:
        connection = super()._protocol_factory()
        self._connections.add(connection)
        if self._callers is not None:
            _accept_only(connection, self._callers)
        return connection

    def close_connections(self) -> None:
        for connection in self._connections:
            if hasattr(connection, "processor"):  # set once it is connected
                connection.processor.close("the server is stopping")


def _accept_only(connection: H2Protocol, callers: Collection[str]) -> None:
    """Abort the connection of any other caller before reading from it; TLS has verified the certificate's authority.

    grpclib has no hook for this except the two ends of a connection's life.
    """
    made, lost = connection.connection_made, connection.connection_lost

    def connection_made(transport: asyncio.BaseTransport) -> None:
        certificate = transport.get_extra_info("peercert")
        if is_allowed(certificate, callers):
            made(transport)
            return
        logger.bind(names=sorted(dns_names(certificate))).warning("rejected a caller whose certificate is not allowed")
        connection.connection_lost = _ignore
        cast("asyncio.Transport", transport).abort()

    connection.connection_made, connection.connection_lost = connection_made, lost


def _ignore(exc: BaseException | None) -> None:
    """grpclib has not seen this connection, so it must not see its end."""
