"""Publishing as others see it: a span in the trace of each message, and a line in the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from loguru import logger
from opentelemetry.trace import Span, SpanKind

from gofleet.domain.errors import GoFleetError, MessageRefused
from gofleet.domain.messages import Delivery, Message
from gofleet.ports import Publisher
from gofleet.telemetry.event_log import EventLog
from gofleet.telemetry.tracing import ORDER_ID, continue_trace, current, record_error, traceparent_of

lines = EventLog(__name__)


@dataclass(frozen=True)
class TracedPublisher:
    """A `Publisher` whose messages go on in the trace that the outbox kept for each; `system` names the broker."""

    publisher: Publisher
    system: str

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        spans = [self._begun(message) for message in messages]
        carried = [
            replace(message, traceparent=traceparent_of(span)) for message, span in zip(messages, spans, strict=True)
        ]
        try:
            answers = await self.publisher.publish(carried)
        except BaseException as error:
            for span in spans:
                record_error(error, span)
                span.end()
            raise
        for message, span, answer in zip(messages, spans, answers, strict=True):
            _end(message, span, answer)
        return answers

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        """A replay goes on where it was parked: its headers name the trace already, and are not touched."""
        return await self.publisher.put_back(deliveries)

    def _begun(self, message: Message) -> Span:
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


def _end(message: Message, span: Span, answer: GoFleetError | None) -> None:
    with current(span):
        if answer is None:
            told = {"order_id": message.order_id, "event_type": message.type, "event_id": message.event_id}
            lines.info("event published", **told)
        else:
            record_error(answer, span)
            _tell_why_not(message, answer)


def _tell_why_not(message: Message, answer: GoFleetError) -> None:
    line = logger.bind(order_id=message.order_id, event_type=message.type, event_id=message.event_id)
    if isinstance(answer, MessageRefused):
        line.warning("event refused: {}", answer)
    else:
        line.debug("event not published yet: {}", answer)  # of all of them at once, and who calls tells it
