"""One connection to a fleet service: opened at the first call, reopened when lost, closed when the peer is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any, cast

from grpclib import GRPCError, Status
from grpclib.client import Channel, Stream
from grpclib.const import Cardinality
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from opentelemetry.trace import Span

from gofleet.adapters.grpc.codec import StrictCodec
from gofleet.adapters.grpc.pb import FleetServiceStub, SearchDriversRequest, SearchDriversResponse
from gofleet.adapters.grpc.transport import NO_RESPONSE, is_closed_connection
from gofleet.domain.errors import FleetUnavailable, Invalid
from gofleet.telemetry.tracing import TRACEPARENT, client_span, current_traceparent

SERVICE = "pb.FleetService"
SearchStream = Stream[SearchDriversRequest, SearchDriversResponse]
UNANSWERED_MAX = 3
"""Consecutive calls without a response, after which the connection counts as dead."""


class FleetConnection:
    """Create it inside a running event loop. Callers must keep to `timeout_seconds`."""

    def __init__(self, host: str, port: int, timeout_seconds: float, tls: SSLContext | None = None) -> None:
        self.timeout_seconds = timeout_seconds
        self._address = {"server.address": host, "server.port": port}
        self._channel = Channel(host, port, codec=StrictCodec(Status.INTERNAL), ssl=tls)
        self.stub = FleetServiceStub(self._channel)
        self._unanswered = 0

    def close(self) -> None:
        """Calls in flight fail; a later call reconnects."""
        self._channel.close()

    def search_stream(self) -> SearchStream:
        """A new call of StreamSearches, to be entered and exited by the caller."""
        return self._channel.request(
            f"/{SERVICE}/StreamSearches", Cardinality.STREAM_STREAM, SearchDriversRequest, SearchDriversResponse
        )

    @contextmanager
    def call(self, rpc: str, empty: Status | None = None) -> Generator[dict[str, str]]:
        """Around one call: its span and the translation of its errors, as `call_span`. Yields the metadata to send."""
        with self.call_span(rpc, empty) as traceparent, self.exchange():
            yield metadata(traceparent)

    @contextmanager
    def call_span(self, rpc: str, empty: Status | None = None) -> Generator[str | None]:
        """A client span, whose traceparent it yields; a status becomes `Invalid` or `FleetUnavailable`. The status
        `empty` is a result, and ends the block without an error."""
        attributes = {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": rpc}
        with client_span(f"{SERVICE}/{rpc}", **attributes, **self._address) as span:
            try:
                yield current_traceparent()
                _set_status(span, Status.OK)
            except GRPCError as error:
                _set_status(span, error.status)
                if error.status is empty:
                    return
                if error.status is Status.INVALID_ARGUMENT:
                    field, _, reason = (error.message or "").partition(" ")
                    raise Invalid(field or "request", reason or "was refused by the fleet service") from error
                raise FleetUnavailable(f"{error.status.name}: {error.message}") from error

    @contextmanager
    def exchange(self, calls: int = 1) -> Generator[None]:
        """Around a request and its response, which serve `calls` calls; `FleetUnavailable` without a response."""
        try:
            yield
            self._unanswered = 0
        except GRPCError:
            self._unanswered = 0
            raise
        except NO_RESPONSE as error:
            self._close_if_dead(calls)
            raise FleetUnavailable(str(error) or type(error).__name__) from error
        except AttributeError as error:
            if not is_closed_connection(error):
                raise
            raise FleetUnavailable("the connection was lost") from error

    def _close_if_dead(self, calls: int) -> None:
        """A peer that vanished without closing leaves a connection on which calls time out for minutes."""
        self._unanswered += calls
        if self._unanswered >= UNANSWERED_MAX:
            self._unanswered = 0
            self._channel.close()


async def fleet_serves(host: str, port: int, *, timeout_seconds: float) -> bool:
    """Whether a fleet service reports SERVING by gRPC's health protocol; `FleetUnavailable` without a valid answer."""
    channel = Channel(host, port)
    request = cast("Any", HealthCheckRequest)(service=SERVICE)
    try:
        async with asyncio.timeout(timeout_seconds):
            response = await HealthStub(channel).Check(request)
    except GRPCError as error:
        raise FleetUnavailable(f"{error.status.name}: {error.message}") from error
    except NO_RESPONSE as error:
        raise FleetUnavailable(str(error) or type(error).__name__) from error
    finally:
        channel.close()
    return cast("Any", response).status == cast("Any", HealthCheckResponse).SERVING


def metadata(traceparent: str | None) -> dict[str, str]:
    return {TRACEPARENT: traceparent} if traceparent else {}


def _set_status(span: Span, status: Status) -> None:
    span.set_attribute("rpc.grpc.status_code", status.value)
