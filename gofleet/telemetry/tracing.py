"""One trace from the HTTP request to the driver: spans, and their W3C `traceparent` across every hop.

Nothing but `traceparent` is taken from outside or sent on: baggage and tracestate would travel through every process
and every stored event, and nobody here reads them.
"""

from __future__ import annotations

import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NoOpTracer, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gofleet.domain.errors import GoFleetError

TRACEPARENT = "traceparent"
ORDER_ID = "gofleet.order_id"
Attributes = Mapping[str, str | float]
_w3c = TraceContextTextMapPropagator()
_tracers: list[Tracer] = [NoOpTracer()]
"""The last one is in use. Not OpenTelemetry's global provider, which can be set once in a process's life."""


@dataclass
class Subject:
    """Which order a piece of work is about, known at its beginning or found out later."""

    whole: Span
    order_id: str | None = None


_subject: ContextVar[Subject | None] = ContextVar("subject", default=None)


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    traceparent: str | None = None,
    order_id: str | None = None,
    **attributes: str | float,
) -> Generator[Span]:
    """A piece of work: a child of `traceparent` if given (from another process), else of the current span.

    It has a trace id whether it is recorded or not.
    """
    whole = begun(name, kind, attributes, _context(traceparent) if traceparent else None)
    token = _subject.set(Subject(whole))
    try:
        if order_id:
            concerning(order_id)
        with _current(whole):
            yield whole
    finally:
        _subject.reset(token)


@contextmanager
def step(name: str, **attributes: str | float) -> Generator[Span]:
    """A call of somebody else, as a span within a recorded one. Elsewhere it is none and costs nothing: what runs by
    itself makes no traces."""
    if not recorded():
        yield INVALID_SPAN
        return
    if order_id := current_order_id():
        attributes[ORDER_ID] = order_id
    with _current(begun(name, SpanKind.CLIENT, attributes)) as started:
        yield started


def begun(name: str, kind: SpanKind, attributes: Attributes, parent: Context | None = None) -> Span:
    """A span that does not become the current one, a child of `parent` or of the current one; to be ended."""
    return _tracers[-1].start_span(name, parent, kind, attributes)


def following(name: str, kind: SpanKind, traceparent: str | None, attributes: Attributes) -> Span:
    """As `begun`, but a child of `traceparent`, or without one the first of its trace."""
    return begun(name, kind, attributes, _context(traceparent))


def concerning(order_id: str) -> None:
    """Say which order the present piece of work is about: its span, the steps from here on and its log lines tell."""
    subject = _subject.get()
    if subject is not None and subject.order_id != order_id:
        subject.order_id = order_id
        subject.whole.set_attribute(ORDER_ID, order_id)


def failed(error: BaseException, at: Span | None = None) -> None:
    """Record `error` in the current span by its kind and place. Never its words, which may hold anybody's data."""
    at = at or trace.get_current_span()
    if at.is_recording():
        cause = error.__cause__ or error
        kind = f"{type(cause).__module__}.{type(cause).__qualname__}"
        where = "".join(traceback.format_tb(cause.__traceback__))
        at.set_status(StatusCode.ERROR)
        at.set_attribute("error.type", error.code if isinstance(error, GoFleetError) else kind)
        at.add_event("exception", {"exception.type": kind, "exception.stacktrace": where})


def recorded() -> bool:
    """Whether what happens now is part of a trace that somebody will see."""
    return trace.get_current_span().is_recording()


def current_order_id() -> str | None:
    subject = _subject.get()
    return subject.order_id if subject else None


def current_traceparent() -> str | None:
    """The current span as a `traceparent` header, or None outside any."""
    return traceparent_of(trace.get_current_span())


def traceparent_of(one: Span) -> str | None:
    """That span as a `traceparent` header; None if it has no trace."""
    context = one.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def current_trace_id() -> str | None:
    """32 hex digits, or None outside any span."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


@contextmanager
def tracing_by(tracer: Tracer) -> Generator[None]:
    """Spans are made by `tracer` while the block runs."""
    _tracers.append(tracer)
    try:
        yield
    finally:
        _tracers.remove(tracer)


def _context(traceparent: str | None) -> Context:
    # Into an empty one: whatever runs this may itself stand in some trace.
    return _w3c.extract({TRACEPARENT: traceparent} if traceparent else {}, Context())


@contextmanager
def _current(one: Span) -> Generator[Span]:
    """The current span for the block, ended at its end, with the error that ended it."""
    with trace.use_span(one, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield one
        except Exception as error:
            failed(error, one)
            raise
