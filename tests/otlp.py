"""A collector of OTLP/gRPC on a free port that keeps every span."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,  # pyright: ignore[reportUnknownVariableType]
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

Value = str | int | float | bool


@dataclass(frozen=True)
class Received:
    """A span as a backend sees it; ids in hex, `parent_id` empty for the first of a trace."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    attributes: dict[str, Value]
    events: list[tuple[str, dict[str, Value]]]


@dataclass
class Collector(TraceServiceServicer):
    port: int = 0
    _spans: list[Received] = field(default_factory=list[Received])
    _lock: Lock = field(default_factory=Lock)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def spans(self, trace_id: str | None = None) -> list[Received]:
        """All that arrived so far, or those of one trace."""
        with self._lock:
            return [one for one in self._spans if trace_id in (None, one.trace_id)]

    def Export(  # noqa: N802  gRPC's name
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        with self._lock:
            for resource in request.resource_spans:
                service = str(_values(resource.resource.attributes)["service.name"])
                for scope in resource.scope_spans:
                    self._spans += [_received(service, span) for span in scope.spans]
        return ExportTraceServiceResponse()


@contextmanager
def collecting() -> Generator[Collector]:
    collector = Collector()
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        add_TraceServiceServicer_to_server(collector, server)
        collector.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield collector
        finally:
            server.stop(None).wait()


def _received(service: str, span: Span) -> Received:
    return Received(
        service=service,
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
        events=[(event.name, _values(event.attributes)) for event in span.events],
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for one in attributes:
        which = one.value.WhichOneof("value")
        found[one.key] = getattr(one.value, which) if which else ""
    return found
