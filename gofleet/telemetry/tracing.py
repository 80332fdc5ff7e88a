"""One trace from the HTTP request to the driver: spans, and their W3C `traceparent` across every hop.

Nothing but `traceparent` is taken from outside or sent on: baggage and tracestate would travel through every process
and every stored event, and nobody here reads them.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gofleet.domain.errors import GoFleetError
from gofleet.telemetry.unrecorded import Unrecorded, Untraced, unrecorded

TRACEPARENT = "traceparent"
ORDER_ID = "gofleet.order_id"
Attributes = Mapping[str, str | float]
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""What nearly all of them look like; the rest is for OpenTelemetry's own, slower, reader."""
_w3c = TraceContextTextMapPropagator()
_tracers: list[Unrecorded] = [Untraced()]
"""The last one is in use. Not OpenTelemetry's global provider, which can be set once in a process's life."""
_current: ContextVar[Span] = ContextVar("span", default=INVALID_SPAN)
"""Not OpenTelemetry's context, which no library that we use reads: a dictionary is copied for whatever is put there."""


@dataclass
class Subject:
    """Which order a piece of work is about, known at its beginning or found out later."""

    whole: Span
    order_id: str | None = None


_subject: ContextVar[Subject | None] = ContextVar("subject", default=None)


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
    one = continue_trace(name, kind, traceparent, attributes) if traceparent else start_span(name, kind, attributes)
    return _Piece(one, order_id)


def client_span(name: str, **attributes: str | float) -> AbstractContextManager[Span]:
    """A call of somebody else, as a span within a recorded one. Elsewhere it is none and costs nothing: what runs by
    itself makes no traces."""
    if not is_recording():
        return _NO_STEP
    if order_id := current_order_id():
        attributes[ORDER_ID] = order_id
    return current(start_span(name, SpanKind.CLIENT, attributes))


def start_span(name: str, kind: SpanKind, attributes: Attributes, parent: Span | None = None) -> Span:
    """A span that does not become the current one, a child of `parent` or of the current one; to be ended."""
    return _tracers[-1].begun(name, kind, attributes, _current.get() if parent is None else parent)


def continue_trace(name: str, kind: SpanKind, traceparent: str | None, attributes: Attributes) -> Span:
    """As `begun`, but a child of `traceparent`, or without one the first of its trace."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found:
        trace_id, flags = int(found[1], 16), TraceFlags(int(found[3], 16))
        if not _tracers[-1].wants(trace_id, flags):
            return unrecorded(trace_id)  # most of them: what others do with a parent would cost more than the rest
    return start_span(name, kind, attributes, _parent(traceparent))


def set_order_id(order_id: str) -> None:
    """Say which order the present piece of work is about: its span, the steps from here on and its log lines tell."""
    subject = _subject.get()
    if subject is not None and subject.order_id != order_id:
        subject.order_id = order_id
        subject.whole.set_attribute(ORDER_ID, order_id)


def record_error(error: BaseException, at: Span | None = None) -> None:
    """Record `error` in the current span by its kind and place. Never its words, which may hold anybody's data."""
    at = at or _current.get()
    if at.is_recording():
        cause = error.__cause__ or error
        kind = f"{type(cause).__module__}.{type(cause).__qualname__}"
        where = "".join(traceback.format_tb(cause.__traceback__))
        at.set_status(StatusCode.ERROR)
        at.set_attribute("error.type", error.code if isinstance(error, GoFleetError) else kind)
        at.add_event("exception", {"exception.type": kind, "exception.stacktrace": where})


def is_recording() -> bool:
    """Whether what happens now is part of a trace that somebody will see."""
    return _current.get().is_recording()


def current_order_id() -> str | None:
    subject = _subject.get()
    return subject.order_id if subject else None


def current_traceparent() -> str | None:
    """The current span as a `traceparent` header, or None outside any."""
    return traceparent_of(_current.get())


def traceparent_of(one: Span) -> str | None:
    """That span as a `traceparent` header; None if it has no trace."""
    context = one.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def current_trace_id() -> str | None:
    """32 hex digits, or None outside any span."""
    ids = current_ids()
    return ids and ids[0]


def current_ids() -> tuple[str, str] | None:
    """The trace's and the span's, 32 and 16 hex digits, or None outside any span."""
    context = _current.get().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


@contextmanager
def tracing_by(tracer: Unrecorded) -> Generator[None]:
    """Spans are made by `tracer` while the block runs."""
    _tracers.append(tracer)
    try:
        yield
    finally:
        _tracers.remove(tracer)


def _parent(traceparent: str | None) -> Span:
    if not traceparent:
        return INVALID_SPAN  # not the current one: whatever runs this may itself stand in some trace
    if not (found := _TRACEPARENT.fullmatch(traceparent)):
        return get_current_span(_w3c.extract({TRACEPARENT: traceparent}, Context()))
    trace_id, span_id, flags = (int(digits, 16) for digits in found.groups())
    return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags)))


# What follows is entered for every request and message: generators would cost three times as much.
class current:  # noqa: N801  read as a word: `with current(span)`
    """Makes a span the current one for the block, and ends it at its end, with the error that ended it."""

    __slots__ = ("_one", "_token")

    def __init__(self, one: Span) -> None:
        self._one = one

    def __enter__(self) -> Span:
        self._token: Token[Span] = _current.set(self._one)
        return self._one

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, Exception):
            record_error(error, self._one)
        _current.reset(self._token)
        self._one.end()


class _Piece(current):
    """Is also what the block's order is told to."""

    __slots__ = ("_order_id", "_outer")

    def __init__(self, one: Span, order_id: str | None) -> None:
        super().__init__(one)
        self._order_id = order_id

    def __enter__(self) -> Span:
        self._outer = _subject.set(Subject(self._one))
        if self._order_id:
            set_order_id(self._order_id)
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        super().__exit__(kind, error, _)
        _subject.reset(self._outer)


_NO_STEP: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)
