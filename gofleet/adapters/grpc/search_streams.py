"""Searches over long-lived calls of StreamSearches: each takes two messages, and no call of its own."""

from __future__ import annotations

from grpclib import GRPCError, Status

from gofleet.adapters.grpc.connection import FleetConnection, SearchStream
from gofleet.adapters.grpc.pb import SearchDriversRequest, SearchDriversResponse
from gofleet.adapters.grpc.transport import NO_RESPONSE, is_closed_connection

REFUSED = {Status.UNIMPLEMENTED, Status.INVALID_ARGUMENT, Status.RESOURCE_EXHAUSTED}
"""The service has no such call, or accepts no batch of this size; no single search is at fault."""


class SearchStreams:
    """The streams of one connection, as many as there are requests at once. A request whose caller is cancelled ends
    its stream, and with it the work of the service."""

    def __init__(self, connection: FleetConnection) -> None:
        self._connection = connection
        self._idle: list[SearchStream] = []

    async def ask(self, request: SearchDriversRequest) -> SearchDriversResponse:
        """Raises the status that ended the stream as a GRPCError, or one of `NO_RESPONSE`."""
        while self._idle:
            try:
                return await self._exchange(self._idle.pop(), request)
            except GRPCError as error:
                if error.status in REFUSED:
                    raise
            except AttributeError as error:
                if not is_closed_connection(error):
                    raise
            except NO_RESPONSE:
                pass
            # It may have ended while it was idle, as when the service was restarted. A search may be repeated: it
            # finds the driver that it has claimed.
        stream = self._connection.search_stream()
        await stream.__aenter__()
        return await self._exchange(stream, request)

    async def _exchange(self, stream: SearchStream, request: SearchDriversRequest) -> SearchDriversResponse:
        try:
            await stream.send_message(request)
            response = await stream.recv_message()
            if response is None:
                await stream.recv_trailing_metadata()
                raise GRPCError(Status.UNAVAILABLE, "the service has ended the stream")
        except BaseException as error:
            await stream.__aexit__(type(error), error, error.__traceback__)
            raise
        self._idle.append(stream)
        return response
