"""Additions to grpclib: limits of messages, connections and frames, connections that close with their server, answers
to malformed headers, and allowed callers.

This is the only module that uses undocumented parts of grpclib (pinned below 0.5), checked by
`tests/roles/test_fleet_client.py`, `test_fleet_grpc.py`, `test_fleet_limits.py`, `test_fleet_floods.py` and
`test_fleet_tls.py`: `Stream._stream.recv_data`, `Server._protocol_factory` and what it passes on, `Handler.accept` and
`_tasks`, `H2Protocol` with its `connection` and `processor`, and `_transport`, which a closed client connection lacks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, cast

from grpclib import GRPCError, Status
from grpclib.config import Configuration
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import ProtocolError, StreamTerminatedError
from grpclib.metadata import encode_grpc_message
from grpclib.protocol import H2Protocol
from grpclib.protocol import Stream as Http2Stream
from grpclib.server import Handler, Server, Stream
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import UnknownFrameReceived
from h2.exceptions import H2Error
from loguru import logger

from gofleet.adapters.grpc.frames import ControlFrames
from gofleet.adapters.grpc.headers import ErrorResponse, error_response_of
from gofleet.adapters.tls import dns_names, is_allowed

NO_RESPONSE = (TimeoutError, OSError, StreamTerminatedError, ProtocolError, H2Error, AssertionError)
"""How grpclib reports a missing response. H2Error is h2's own, as for a message sent after the service has ended the
stream; the AssertionError is betterproto's for a call that ended without a message."""
CLOSED_CONNECTION_ATTRIBUTE = "_transport"
OPENING_SECONDS = 5.0
"""Time limit of a new connection for its preface."""
WARNING_SECONDS = 1.0


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


class BoundedServer(Server):
    """A server of at most `connections_max` connections, which it closes when it is closed: grpclib's `close()` leaves
    them open, and clients would call a stopped server forever.

    A client that sends more than `control_frames_max` control frames beyond its calls is disconnected. With `callers`
    only connections are accepted whose certificate has one of these names; TLS has verified its authority.
    """

    def __init__(
        self,
        handlers: Collection[Any],
        *,
        callers: frozenset[str] | None,
        connections_max: int,
        control_frames_max: int,
        codec: CodecBase,
        config: Configuration,
    ) -> None:
        super().__init__(handlers, codec=codec, config=config)
        self.callers = callers
        self.connections_max = connections_max
        self.control_frames_max = control_frames_max
        self.connections: set[H2Protocol] = set()
        self._warned_at = -WARNING_SECONDS

    def _protocol_factory(self) -> H2Protocol:
        self.__gc_step__()
        handler = _CheckingHandler(self._mapping, self._codec, self._status_details_codec, self.__dispatch__)
        self._handlers.add(handler)
        return _BoundedConnection(self, handler, self._config, self._h2_config)

    def close_connections(self) -> None:
        for connection in list(self.connections):
            connection.processor.close("the server is stopping")

    def warn(self, text: str, **context: object) -> None:
        """Log a warning, but at most one in `WARNING_SECONDS`: clients can cause any number."""
        now = time.monotonic()
        if now >= self._warned_at + WARNING_SECONDS:
            self._warned_at = now
            logger.bind(**context).warning(text)


class _BoundedConnection(H2Protocol):
    """A client's connection, closed beyond the bounds of its server before anything is done for it."""

    def __init__(
        self, server: BoundedServer, handler: Handler, config: Configuration, h2_config: H2Configuration
    ) -> None:
        super().__init__(handler, config, h2_config)
        self._server = server
        self._frames = ControlFrames(server.control_frames_max)
        self._opening: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server, certificate = self._server, transport.get_extra_info("peercert")
        if server.callers is not None and not is_allowed(certificate, server.callers):
            server.warn("rejected a caller whose certificate is not allowed", names=sorted(dns_names(certificate)))
        elif len(server.connections) >= server.connections_max:
            server.warn("rejected a connection: there are GRPC_MAX_CONNECTIONS", connections=server.connections_max)
        else:
            server.connections.add(self)
            super().connection_made(transport)
            # An extension of the protocol is ignored (RFC 9113, section 5.5); grpclib raises NotImplementedError.
            cast("Any", self.processor.processors)[UnknownFrameReceived] = _ignore
            self._opening = asyncio.get_running_loop().call_later(OPENING_SECONDS, self._close_unless_opened)
            return
        cast("asyncio.Transport", transport).abort()

    def data_received(self, data: bytes) -> None:
        if self not in self._server.connections:
            return
        if not self._frames.feed(data):
            self._server.warn("closed a connection: it sends more control frames than GRPC_MAX_CONTROL_FRAMES")
            self.connection._connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)  # pyright: ignore[reportPrivateUsage]
            self.connection.flush()
            self._close("too many control frames")
            return
        try:
            super().data_received(data)
        except UnicodeDecodeError:  # grpclib handles h2's own errors only
            self._close("a header is not ASCII")

    def connection_lost(self, exc: BaseException | None) -> None:
        if self in self._server.connections:  # grpclib has not seen a rejected one, so it must not see its end
            self._close("connection lost")

    def _close_unless_opened(self) -> None:
        if not self._frames.opened:
            self._close("no preface")

    def _close(self, why: str) -> None:
        self._server.connections.discard(self)
        if self._opening is not None:
            self._opening.cancel()
        self.processor.close(why)


class _CheckingHandler(Handler):
    """Answers requests that grpclib cannot, and passes the others on."""

    def accept(self, stream: Http2Stream, headers: Any, release_stream: Callable[[], Any]) -> None:
        if (error := error_response_of(headers)) is None:
            super().accept(stream, headers, release_stream)
        else:
            self._tasks[stream] = self.loop.create_task(_refuse(stream, error, release_stream))


async def _refuse(stream: Http2Stream, error: ErrorResponse, release_stream: Callable[[], Any]) -> None:
    headers = [(":status", str(error.http_status)), ("content-type", "application/grpc+proto")]
    headers += [("grpc-status", str(error.status.value)), ("grpc-message", encode_grpc_message(error.message))]
    try:
        with suppress(H2Error):
            await stream.send_headers(headers, end_stream=True)
            if stream.closable:
                stream.reset_nowait()
    finally:
        release_stream()


def _ignore(event: object) -> None:
    del event
