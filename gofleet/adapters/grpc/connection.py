"""The one connection to a fleet service: made at the first call, made again when it is lost, given up when dead."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from ssl import SSLContext

from grpclib import GRPCError, Status
from grpclib.client import Channel
from grpclib.exceptions import ProtocolError, StreamTerminatedError
from opentelemetry.trace import Span

from gofleet.adapters.grpc.codec import StrictCodec
from gofleet.adapters.grpc.pb import FleetServiceStub
from gofleet.domain.errors import FleetUnavailable, Invalid
from gofleet.telemetry.tracing import TRACEPARENT, client_span, current_traceparent

SERVICE = "pb.FleetService"
UNANSWERED_MAX = 3
"""Callers in a row without any answer, after which the connection counts as dead."""
NO_ANSWER = (TimeoutError, OSError, StreamTerminatedError, ProtocolError, AssertionError)
"""How grpclib tells that nothing came; the AssertionError is betterproto's for a call that ended without a message."""
CLOSED_CONNECTION = "_transport"
"""The attribute that a connection of grpclib loses when it is closed."""


class FleetConnection:
    """Create it inside a running event loop. `timeout_seconds` is for whoever calls to keep."""

    def __init__(self, host: str, port: int, timeout_seconds: float, tls: SSLContext | None = None) -> None:
        self.timeout_seconds = timeout_seconds
        self._address = {"server.address": host, "server.port": port}
        self._channel = Channel(host, port, codec=StrictCodec(Status.INTERNAL), ssl=tls)
        self.stub = FleetServiceStub(self._channel)
        self._silences = 0

    def close(self) -> None:
        """Calls in hand fail; a later call would connect again."""
        self._channel.close()

    @contextmanager
    def calling(self, rpc: str) -> Generator[dict[str, str]]:
        """Around a call of one caller; the metadata to send with it."""
        with self.telling(rpc) as traceparent, self.reaching():
            yield metadata(traceparent)

    @contextmanager
    def telling(self, rpc: str, nobody: Status | None = None) -> Generator[str | None]:
        """What one caller is told: a span, whose traceparent the block gets, and our words for how it may fail. The
        status `nobody` is an answer, and ends the block quietly."""
        attributes = {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": rpc}
        with client_span(f"{SERVICE}/{rpc}", **attributes, **self._address) as current:
            try:
                yield current_traceparent()
                _answered(current, Status.OK)
            except GRPCError as error:
                _answered(current, error.status)
                if error.status is nobody:
                    return
                if error.status is Status.INVALID_ARGUMENT:
                    field, _, why = (error.message or "").partition(" ")
                    raise Invalid(field or "request", why or "was refused by the fleet service") from error
                raise FleetUnavailable(f"{error.status.name}: {error.message}") from error

    @contextmanager
    def reaching(self, callers: int = 1) -> Generator[None]:
        """Around what goes over the wire for so many callers; `FleetUnavailable` when nothing comes back."""
        try:
            yield
            self._silences = 0
        except GRPCError:
            self._silences = 0
            raise
        except NO_ANSWER as error:
            self._hang_up_if_dead(callers)
            raise FleetUnavailable(str(error) or type(error).__name__) from error
        except AttributeError as error:
            # How grpclib tells that another call closed the connection between our taking it and our using it.
            if error.name != CLOSED_CONNECTION:
                raise
            raise FleetUnavailable("the connection was lost") from error

    def _hang_up_if_dead(self, callers: int) -> None:
        """A peer that vanished without a goodbye leaves a connection on which every call waits in vain, for minutes."""
        self._silences += callers
        if self._silences >= UNANSWERED_MAX:
            self._silences = 0
            self._channel.close()


def metadata(traceparent: str | None) -> dict[str, str]:
    return {TRACEPARENT: traceparent} if traceparent else {}


def _answered(call: Span, status: Status) -> None:
    call.set_attribute("rpc.grpc.status_code", status.value)
