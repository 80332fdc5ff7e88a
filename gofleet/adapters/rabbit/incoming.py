"""A message that RabbitMQ has delivered and that is not settled yet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import uuid4

from aio_pika.abc import HeadersType
from aiormq.abc import DeliveredMessage
from loguru import logger
from pamqp.commands import Basic

from gofleet import failpoints
from gofleet.adapters.rabbit.acks import Acknowledger
from gofleet.adapters.rabbit.amqp import Outgoing, is_encodable, strip_broker_headers
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import DEFAULT_EXCHANGE, Topology
from gofleet.adapters.supervision import jittered
from gofleet.domain.messages import ATTEMPT, CRASHES, Delivery, Retry
from gofleet.waiting import sleep_unless

RETRY_DELAY_SECONDS = 1.0


@dataclass(frozen=True)
class RabbitIncomingMessage:
    """`IncomingMessage`. `lost` is set when its connection is lost, `ended` also when its consumer is stopping."""

    delivery: Delivery
    message: DeliveredMessage
    acknowledger: Acknowledger
    topology: Topology
    publisher: RabbitPublisher
    lost: asyncio.Event
    ended: asyncio.Event

    async def ack(self) -> None:
        await self.acknowledger.ack(self._tag)

    async def nack(self) -> None:
        await self.acknowledger.nack(self._tag)

    async def retry_later(self, retry: Retry) -> None:
        """Publish a copy to a retry queue, then acknowledge the original.

        While no copy can be published the message stays unacknowledged, where it takes one place of the prefetch:
        nothing spins, and no redelivery counts towards parking a message that is not at fault.
        """
        queue = self.topology.retry_queue(self.delivery.queue, retry.seconds)
        if queue is None and not await sleep_unless(self.ended, retry.seconds):
            queue = self.topology.prefix + self.delivery.queue
        if queue is None or not await self._published(self._copy(queue, retry)):
            await self.nack()
        else:
            failpoints.hit("worker.after_postpone")
            await self.ack()

    async def _published(self, copy: Outgoing) -> bool:
        """Whether RabbitMQ has the copy; False once the consumer stops, or the original is no longer ours."""
        while not self.lost.is_set():
            [error] = await self.publisher.send([copy])
            if error is None:
                return True
            logger.bind(queue=self.delivery.queue).warning("cannot publish a retry yet: {}", error)
            if await sleep_unless(self.ended, jittered(RETRY_DELAY_SECONDS)):
                break
        return False

    def _copy(self, queue: str, retry: Retry) -> Outgoing:
        return Outgoing(
            exchange=DEFAULT_EXCHANGE,
            routing_key=queue,
            body=self.message.body,
            headers=self._headers(retry),
            message_id=self._properties.message_id or str(uuid4()),
            content_type=self._properties.content_type,
        )

    def _headers(self, retry: Retry) -> HeadersType:
        counters = {CRASHES: str(self.delivery.crashes)} if self.delivery.crashes else {}
        counters[ATTEMPT] = str(self.delivery.attempt + retry.counted)
        headers = {**strip_broker_headers(self._properties.headers or {}), **counters}
        # pamqp decodes values that it cannot encode, such as text that is not UTF-8.
        return headers if is_encodable(headers) else {**self.delivery.headers, **counters}

    @property
    def _properties(self) -> Basic.Properties:
        return self.message.header.properties

    @property
    def _tag(self) -> int:
        assert self.message.delivery_tag is not None  # noqa: S101  every delivery has one
        return self.message.delivery_tag
