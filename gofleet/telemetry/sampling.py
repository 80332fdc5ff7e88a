"""How many traces are recorded. The rest never reaches the SDK, which would do more than a lost span is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.util.types import Attributes

from gofleet import __version__
from gofleet.telemetry.unrecorded import Unrecorded, trace_id_of, unrecorded

_LOW = (1 << 64) - 1
"""By these bits of a trace's id OpenTelemetry decides, so that everybody decides alike."""


@dataclass(frozen=True)
class Sampling:
    """A share of the traces, by their ids; with `as_begun` only of those that begin here, for whoever began a trace
    has decided about all of it."""

    share: float
    as_begun: bool

    def wants(self, trace_id: int, parent: TraceFlags | None) -> bool:
        if self.as_begun and parent is not None:
            return parent.sampled
        return trace_id & _LOW < round(self.share * (_LOW + 1))


SAMPLERS: dict[str, Callable[[float], Sampling]] = {
    "always_on": lambda _: Sampling(1.0, as_begun=False),
    "always_off": lambda _: Sampling(0.0, as_begun=False),
    "traceidratio": lambda share: Sampling(share, as_begun=False),
    "parentbased_always_on": lambda _: Sampling(1.0, as_begun=True),
    "parentbased_always_off": lambda _: Sampling(0.0, as_begun=True),
    "parentbased_traceidratio": lambda share: Sampling(share, as_begun=True),
}
"""By their names in OpenTelemetry's specification; the number is the share of traces."""


class DrawnIds(RandomIdGenerator):
    """Lets a trace have the id by which it was chosen: `drawn`, set right before the span is made."""

    drawn = 0

    def generate_trace_id(self) -> int:
        return self.drawn


class Sampled(Unrecorded):
    """Spans of `provider`, whose own sampler is always on and whose ids are `ids`, for the traces that are wanted."""

    def __init__(self, provider: TracerProvider, ids: DrawnIds, sampling: Sampling) -> None:
        self._tracer = provider.get_tracer("gofleet", __version__)
        self._ids = ids
        self._sampling = sampling

    def begun(self, name: str, kind: SpanKind, attributes: Attributes, parent: Span) -> Span:
        above = parent.get_span_context()
        trace_id = trace_id_of(above)
        if not self.wants(trace_id, above.trace_flags if above.is_valid else None):
            return unrecorded(trace_id)
        self._ids.drawn = trace_id
        return self._tracer.start_span(name, set_span_in_context(parent, Context()), kind, attributes)

    def wants(self, trace_id: int, parent: TraceFlags | None) -> bool:
        return self._sampling.wants(trace_id, parent)
