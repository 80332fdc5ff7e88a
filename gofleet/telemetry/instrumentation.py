"""Metrics, spans and log lines of use cases, handled messages and published events."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ParamSpec, TypeVar

from loguru import logger
from opentelemetry.trace import Span, SpanKind

from gofleet.domain.errors import GoFleetError, MessageRefused
from gofleet.domain.messages import (
    AGGREGATE_ID,
    EVENT_ID,
    EVENT_TYPE,
    TRACEPARENT,
    Delivery,
    Handler,
    Message,
    Outcome,
    Retry,
)
from gofleet.ports import Publisher
from gofleet.telemetry.logging import EventLog
from gofleet.telemetry.metrics import MESSAGES_HANDLED, MESSAGES_PUBLISHED, MESSAGES_RETRIED, USE_CASE_SECONDS, tier
from gofleet.telemetry.tracing import ORDER_ID, continue_trace, record_error, span, traceparent_of, use_span

events = EventLog(__name__)
P = ParamSpec("P")
R = TypeVar("R")


def observed(act: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The use case with its duration and outcome measured, labelled with the name of its class."""
    name, seconds_of = type(act).__name__, cache(USE_CASE_SECONDS.labels)

    async def timed(*args: P.args, **kwargs: P.kwargs) -> R:
        began, outcome = time.perf_counter(), "failure"
        try:
            result = await act(*args, **kwargs)
            outcome = "success"
            return result
        except GoFleetError as error:
            outcome = error.code
            raise
        finally:
            seconds_of(name, outcome).observe(time.perf_counter() - began)

    return timed


def handled(handler: Handler, system: str) -> Handler:
    """The handler within a span of the message's trace, its outcomes counted; `system` is the broker's name."""
    handled_of = cache(MESSAGES_HANDLED.labels)

    async def traced(delivery: Delivery) -> Outcome:
        headers = delivery.headers
        attributes = {
            "messaging.system": system,
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": delivery.queue,
            "messaging.message.id": headers.get(EVENT_ID, ""),
            "messaging.message.body.size": len(delivery.body),
            "gofleet.event_type": headers.get(EVENT_TYPE, ""),
            "gofleet.attempt": delivery.attempt,
        }
        with span(
            f"process {delivery.queue}",
            SpanKind.CONSUMER,
            traceparent=headers.get(TRACEPARENT),
            order_id=headers.get(AGGREGATE_ID),
            **attributes,
        ) as current:
            outcome = await handler(delivery)
            # The metric's and the span's words are older than the classes and stay.
            verdict = "later" if isinstance(outcome, Retry) else outcome.verdict
            current.set_attribute("gofleet.verdict", verdict)
            events.info("message handled", event_type=headers.get(EVENT_TYPE), verdict=verdict)
        handled_of(delivery.queue, verdict).inc()
        if isinstance(outcome, Retry) and outcome.counted:
            MESSAGES_RETRIED.labels(delivery.queue, tier(delivery.attempt)).inc()
        return outcome

    return traced


@dataclass(frozen=True)
class InstrumentedPublisher:
    """A `Publisher` whose confirmations are counted, and whose messages continue the trace that the outbox stored.

    `system` is the broker's name.
    """

    publisher: Publisher
    system: str

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        spans = [self._start_span(message) for message in messages]
        carried = [
            replace(message, traceparent=traceparent_of(span)) for message, span in zip(messages, spans, strict=True)
        ]
        try:
            results = await self.publisher.publish(carried)
        except BaseException as error:
            for span in spans:
                record_error(error, span)
                span.end()
            raise
        for message, span, result in zip(messages, spans, results, strict=True):
            _end(message, span, result)
        return _counted(results)

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        """A replayed message keeps the headers, and so the trace, with which it was parked."""
        return _counted(await self.publisher.put_back(deliveries))

    def _start_span(self, message: Message) -> Span:
        attributes = {
            "messaging.system": self.system,
            "messaging.operation.type": "send",
            "messaging.operation.name": "publish",
            "messaging.destination.name": message.type,
            "messaging.message.id": message.event_id,
            "messaging.message.body.size": len(message.body),
            ORDER_ID: message.order_id,
        }
        return continue_trace(f"publish {message.type}", SpanKind.PRODUCER, message.traceparent, attributes)


def _end(message: Message, span: Span, failure: GoFleetError | None) -> None:
    with use_span(span):
        if failure is None:
            ids = {"order_id": message.order_id, "event_type": message.type, "event_id": message.event_id}
            events.info("event published", **ids)
        else:
            record_error(failure, span)
            _log_failure(message, failure)


def _log_failure(message: Message, failure: GoFleetError) -> None:
    line = logger.bind(order_id=message.order_id, event_type=message.type, event_id=message.event_id)
    if isinstance(failure, MessageRefused):
        line.warning("event refused: {}", failure)
    else:
        line.debug("event not published yet: {}", failure)  # true of the whole batch, and the caller logs it


def _counted(results: list[GoFleetError | None]) -> list[GoFleetError | None]:
    for result in results:
        MESSAGES_PUBLISHED.labels("confirmed" if result is None else result.code).inc()
    return results
