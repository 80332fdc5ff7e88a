"""One trace from the HTTP request to the driver: spans, and their W3C `traceparent` across every hop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
FLUSH_SECONDS = 3.0
_w3c = TraceContextTextMapPropagator()


@contextmanager
def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, *, traceparent: str | None = None, **attributes: str | float
) -> Generator[Span]:
    """A span around the block; a child of `traceparent` if given (from another process), else of the current span."""
    parent: Context | None = _w3c.extract({TRACEPARENT: traceparent}) if traceparent else None
    tracer = trace.get_tracer("gofleet")
    with tracer.start_as_current_span(name, context=parent, kind=kind, attributes=attributes) as started:
        yield started


def current_traceparent() -> str | None:
    """The current span as a `traceparent` header, or None outside any."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return carrier.get(TRACEPARENT)


def current_trace_id() -> str | None:
    """32 hex digits, or None outside any span."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


@asynccontextmanager
async def exporting(service: str, endpoint: str) -> AsyncGenerator[None]:
    """Record spans as `service` and send them to the OTLP/gRPC collector at `endpoint` (`host:port`), if one is given.

    Spans are recorded even when nobody collects them, so that logs and problems always carry a trace id.
    """
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    if endpoint:
        # Imported here: it brings grpcio, which nobody without a collector should wait for.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=2)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        # With the collector away this blocks for seconds: in a thread, and with a bound.
        await asyncio.wait({asyncio.create_task(asyncio.to_thread(provider.shutdown))}, timeout=FLUSH_SECONDS)
