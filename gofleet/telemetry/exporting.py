"""Where spans go, and how many of them are recorded at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from gofleet import __version__
from gofleet.telemetry.sampling import SAMPLERS, DrawnIds, Sampled
from gofleet.telemetry.tracing import tracing_by
from gofleet.telemetry.unrecorded import Unrecorded

FLUSH_SECONDS = 3.0
LONGEST_ATTRIBUTE = 4096
"""Names in headers of messages are whatever somebody put there."""


@asynccontextmanager
async def exporting(
    service: str, endpoint: str, sampler: str = "parentbased_always_on", share: float = 1.0
) -> AsyncGenerator[None]:
    """Record spans as `service` and send them to the OTLP/gRPC collector at `endpoint` (`host:port`), if one is given.

    Without one nothing is recorded; logs and problems still carry trace ids.
    """
    if not endpoint:
        with tracing_by(Unrecorded()):
            yield
        return
    # Imported here: it brings grpcio, which nobody without a collector should wait for.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    ids = DrawnIds()
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.version": __version__}),
        sampler=ALWAYS_ON,
        id_generator=ids,
        span_limits=SpanLimits(max_attribute_length=LONGEST_ATTRIBUTE),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"), timeout=2)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        with tracing_by(Sampled(provider, ids, SAMPLERS[sampler](share))):
            yield
    finally:
        # With the collector away this blocks for seconds: in a thread, and with a bound.
        await asyncio.wait({asyncio.create_task(asyncio.to_thread(provider.shutdown))}, timeout=FLUSH_SECONDS)
