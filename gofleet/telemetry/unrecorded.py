"""Spans that nobody will see: they carry ids through logs, problems and other processes, and cost next to nothing."""

from __future__ import annotations

from random import getrandbits

from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.span import INVALID_SPAN_ID, INVALID_TRACE_ID
from opentelemetry.util.types import Attributes

TRACE_ID_BITS, SPAN_ID_BITS = 128, 64


class Unrecorded:
    """Makes spans. A third of the work of the SDK's sampler that is always off; without one at all, a request would
    have no id."""

    def begun(self, name: str, kind: SpanKind, attributes: Attributes, parent: Span) -> Span:
        """A child of `parent`, or the first of a trace if that is none."""
        return unrecorded(trace_id_of(parent.get_span_context()))

    def wants(self, trace_id: int, parent: TraceFlags | None) -> bool:
        """Whether a span of that trace is recorded; `parent` are the flags of its parent, None if it is the first."""
        return False


class Untraced(Unrecorded):
    """Where nobody has said that there are to be traces: spans have no ids but what they were handed from elsewhere."""

    def begun(self, name: str, kind: SpanKind, attributes: Attributes, parent: Span) -> Span:
        return NonRecordingSpan(parent.get_span_context())


def trace_id_of(parent: SpanContext) -> int:
    """Of a child of `parent`; a new one if that is none."""
    return parent.trace_id if parent.is_valid else _an_id(TRACE_ID_BITS, INVALID_TRACE_ID)


def unrecorded(trace_id: int) -> Span:
    return NonRecordingSpan(SpanContext(trace_id, _an_id(SPAN_ID_BITS, INVALID_SPAN_ID), is_remote=False))


def _an_id(bits: int, invalid: int) -> int:
    # Nothing secret: ids only have to differ.
    while (found := getrandbits(bits)) == invalid:
        pass
    return found
