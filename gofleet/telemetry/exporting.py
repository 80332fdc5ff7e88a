"""Export of spans to an OTLP collector, and the samplers that choose which traces are recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import Span, SpanKind, get_current_span

from gofleet import __version__
from gofleet.telemetry.tracing import Attributes, StartSpan, start_unrecorded_span, tracing_by
from gofleet.waiting import first_of

FLUSH_SECONDS = 3.0
ATTRIBUTE_CHARS_MAX = 4096
"""Headers of messages hold whatever their publisher wrote."""

SAMPLERS: dict[str, Callable[[float], Sampler]] = {
    "always_on": lambda _: ALWAYS_ON,
    "always_off": lambda _: ALWAYS_OFF,
    "traceidratio": TraceIdRatioBased,
    "parentbased_always_on": lambda _: DEFAULT_ON,
    "parentbased_always_off": lambda _: DEFAULT_OFF,
    "parentbased_traceidratio": ParentBasedTraceIdRatio,
}
"""By their names in OpenTelemetry's specification; the number is the share of traces."""


@asynccontextmanager
async def exporting(
    service: str, endpoint: str, sampler: str = "parentbased_always_on", share: float = 1.0
) -> AsyncGenerator[TracerProvider | None]:
    """Record spans as `service` and send them to the OTLP/gRPC collector at `endpoint` (`host:port`).

    Yields the provider of these spans, for instrumentations of other libraries. With an empty endpoint nothing is
    recorded and the provider is None; logs and problems still carry trace ids.
    """
    if not endpoint:
        with tracing_by(start_unrecorded_span):
            yield None
        return
    # Imported late: it loads grpcio, which a process without a collector does not need.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.version": __version__}),
        sampler=SAMPLERS[sampler](share),
        span_limits=SpanLimits(max_attribute_length=ATTRIBUTE_CHARS_MAX),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=2)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    start_span = provider.get_tracer("gofleet", __version__).start_span
    try:
        with tracing_by(_dropping_unsampled(start_span) if sampler.startswith("parentbased_") else start_span):
            yield provider
    finally:
        # With the collector unavailable this blocks for seconds: in a thread, and with a bound.
        await first_of(asyncio.create_task(asyncio.to_thread(provider.shutdown)), timeout=FLUSH_SECONDS)


def _dropping_unsampled(start_span: StartSpan) -> StartSpan:
    """`start_span`, without asking a parent-based sampler about the child of an unsampled span: it is never recorded.

    At a share of 1 % most spans are such children; the SDK takes 5 us to drop one, this 2.5.
    """

    def start(name: str, context: Context | None, kind: SpanKind, attributes: Attributes) -> Span:
        parent = get_current_span(context).get_span_context()
        unsampled = parent.is_valid and not parent.trace_flags.sampled
        return (start_unrecorded_span if unsampled else start_span)(name, context, kind, attributes)

    return start
