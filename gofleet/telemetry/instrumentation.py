"""What every use case and every handled message leaves behind: how long it took and how it ended."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ParamSpec, TypeVar

from opentelemetry.trace import SpanKind

from gofleet.domain.errors import GoFleetError
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
from gofleet.telemetry.event_log import EventLog
from gofleet.telemetry.metrics import MESSAGES_HANDLED, MESSAGES_PUBLISHED, MESSAGES_RETRIED, USE_CASE_SECONDS, tier
from gofleet.telemetry.tracing import span

lines = EventLog(__name__)
P = ParamSpec("P")
R = TypeVar("R")


def observed(act: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The use case with its duration and outcome measured, under the name of its class."""
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
    """The handler within a span of the trace that the message belongs to, its verdicts counted; `system` is the
    broker's name."""
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
            verdict = await handler(delivery)
            said = type(verdict).__name__.lower()
            current.set_attribute("gofleet.verdict", said)
            lines.info("message handled", event_type=headers.get(EVENT_TYPE), verdict=said)
        handled_of(delivery.queue, said).inc()
        if isinstance(verdict, Retry) and verdict.counted:
            MESSAGES_RETRIED.labels(delivery.queue, tier(delivery.attempt)).inc()
        return verdict

    return traced


@dataclass(frozen=True)
class CountedPublisher:
    """A `Publisher` whose answers are counted."""

    publisher: Publisher

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        return _counted(await self.publisher.publish(messages))

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        return _counted(await self.publisher.put_back(deliveries))


def _counted(answers: list[GoFleetError | None]) -> list[GoFleetError | None]:
    for answer in answers:
        MESSAGES_PUBLISHED.labels("confirmed" if answer is None else answer.code).inc()
    return answers
