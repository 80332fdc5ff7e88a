"""Spans of one trace from the HTTP request to the driver, and their W3C `traceparent` across every hop.

The current span is in OpenTelemetry's own context, so `trace.get_current_span()` and any instrumentation find it.
Only `traceparent` is read from outside and sent on: baggage and tracestate would travel through every process and every
stored event, and nothing here reads them.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass
from random import getrandbits
from types import TracebackType

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gofleet.domain.errors import GoFleetError

TRACEPARENT = "traceparent"
ORDER_ID = "gofleet.order_id"
Attributes = Mapping[str, str | float]
StartSpan = Callable[[str, Context | None, SpanKind, Attributes], Span]
"""`Tracer.start_span`: name, context of the parent (None = the current one), kind, attributes."""

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""A version 00 header as every tracer writes it; other forms are left to the propagator, which takes twice as long."""
_w3c = TraceContextTextMapPropagator()
_start_span: list[StartSpan] = [NoOpTracer().start_span]
"""The last one is in use. At first no span has ids, except those taken over from a `traceparent`."""


@dataclass
class _Subject:
    """The order that a piece of work is about, known at its beginning or set later."""

    span: Span
    order_id: str | None = None


_subject: ContextVar[_Subject | None] = ContextVar("subject", default=None)


def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    traceparent: str | None = None,
    order_id: str | None = None,
    **attributes: str | float,
) -> AbstractContextManager[Span]:
    """A piece of work: a child of `traceparent` if given (from another process), else of the current span.

    It has a trace id whether it is recorded or not.
    """
    started = continue_trace(name, kind, traceparent, attributes) if traceparent else start_span(name, kind, attributes)
    return _use_work_span(started, order_id)


def client_span(name: str, **attributes: str | float) -> AbstractContextManager[Span]:
    """A call to another service, as a span within a recorded one.

    Without a recorded parent it is no span and costs nothing: periodic work starts no traces.
    """
    if not is_recording():
        return _NO_SPAN
    if order_id := current_order_id():
        attributes[ORDER_ID] = order_id
    return use_span(start_span(name, SpanKind.CLIENT, attributes))


def start_span(name: str, kind: SpanKind, attributes: Attributes) -> Span:
    """A child of the current span that does not become the current one; the caller ends it."""
    return _start_span[-1](name, None, kind, attributes)


def continue_trace(name: str, kind: SpanKind, traceparent: str | None, attributes: Attributes) -> Span:
    """As `start_span`, but a child of `traceparent`, or without one the first span of a new trace.

    The current span is no parent here: the work may run inside the trace of something else.
    """
    return _start_span[-1](name, _parent_context(traceparent) if traceparent else Context(), kind, attributes)


def _parent_context(traceparent: str) -> Context:
    found = _TRACEPARENT.fullmatch(traceparent)
    if not found:
        return _w3c.extract({TRACEPARENT: traceparent}, Context())
    ids = SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(int(found[3], 16)))
    return set_span_in_context(NonRecordingSpan(ids), Context())


def start_unrecorded_span(name: str, context: Context | None, kind: SpanKind, attributes: Attributes) -> Span:
    """A span that only carries ids through logs, problems and other processes.

    A request's span and two client spans take 4.5 us of CPU this way, 7.1 us with an SDK sampler that drops the trace.
    """
    parent = get_current_span(context).get_span_context()
    trace_id = parent.trace_id if parent.is_valid else getrandbits(128) or 1  # 0 is invalid; ids are no secrets
    return NonRecordingSpan(SpanContext(trace_id, getrandbits(64) or 1, is_remote=False))


def set_order_id(order_id: str) -> None:
    """Set the order of the current piece of work on its span, the client spans from here on, and its log lines."""
    subject = _subject.get()
    if subject is not None and subject.order_id != order_id:
        subject.order_id = order_id
        subject.span.set_attribute(ORDER_ID, order_id)


def record_error(error: BaseException, at: Span | None = None) -> None:
    """Record `error` by its type and place in the span `at`, or in the current one. Its message is left out: it may
    hold personal data."""
    at = at or get_current_span()
    if at.is_recording():
        cause = error.__cause__ or error
        kind = f"{type(cause).__module__}.{type(cause).__qualname__}"
        where = "".join(traceback.format_tb(cause.__traceback__))
        at.set_status(StatusCode.ERROR)
        at.set_attribute("error.type", error.code if isinstance(error, GoFleetError) else kind)
        at.add_event("exception", {"exception.type": kind, "exception.stacktrace": where})


def is_recording() -> bool:
    return get_current_span().is_recording()


def current_order_id() -> str | None:
    subject = _subject.get()
    return subject.order_id if subject else None


def current_traceparent() -> str | None:
    """The current span as a `traceparent` header, or None outside any."""
    return traceparent_of(get_current_span())


def traceparent_of(span: Span) -> str | None:
    """The span as a `traceparent` header; None if it has no trace."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def trace_id_of(traceparent: str) -> str:
    """The 32 hex digits of the trace in a header that `traceparent_of` made."""
    return traceparent[3:35]


def current_trace_id() -> str | None:
    """32 hex digits, or None outside any span."""
    ids = current_ids()
    return ids and ids[0]


def current_ids() -> tuple[str, str] | None:
    """The trace id and the span id, 32 and 16 hex digits, or None outside any span."""
    context = get_current_span().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


@contextmanager
def tracing_by(start: StartSpan) -> Generator[None]:
    """Spans are started by `start` while the block runs."""
    _start_span.append(start)
    try:
        yield
    finally:
        _start_span.remove(start)


# Entered for every request and message: a generator would cost three times as much.
class use_span:  # noqa: N801  as OpenTelemetry's function
    """Makes a span the current one for the block and ends it afterwards.

    An error that ends the block is recorded by `record_error`; OpenTelemetry's function would record its message.
    """

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        self._token: Token[Context] = attach(set_span_in_context(self._span))
        return self._span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, Exception):
            record_error(error, self._span)
        detach(self._token)
        self._span.end()


class _use_work_span(use_span):  # noqa: N801
    """Is also the span that `set_order_id` annotates."""

    __slots__ = ("_order_id", "_outer")

    def __init__(self, span: Span, order_id: str | None) -> None:
        super().__init__(span)
        self._order_id = order_id

    def __enter__(self) -> Span:
        self._outer = _subject.set(_Subject(self._span))
        if self._order_id:
            set_order_id(self._order_id)
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        super().__exit__(kind, error, _)
        _subject.reset(self._outer)


_NO_SPAN: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)
