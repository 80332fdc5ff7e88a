"""One message that RabbitMQ has delivered to us and that we have not answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from aio_pika.abc import FieldValue, HeadersType
from aiormq.abc import DeliveredMessage
from loguru import logger
from pamqp.commands import Basic
from pamqp.encode import field_table

from gofleet import failpoints
from gofleet.adapters.rabbit.acks import Acknowledger
from gofleet.adapters.rabbit.outgoing import UNSENDABLE, Outgoing
from gofleet.adapters.rabbit.sender import Sender
from gofleet.adapters.rabbit.topology import DEFAULT_EXCHANGE, Topology
from gofleet.adapters.supervision import jittered
from gofleet.domain.messages import ATTEMPT, Delivery, Retry
from gofleet.waiting import sleep_unless

AGAIN_SECONDS = 1.0
BROKERS_OWN = ("x-death", "x-delivery-count", "x-acquired-count", "x-first-death-", "x-last-death-")
"""Headers RabbitMQ writes; sent back to it, they would tell it a story of another message."""
MORE_QUEUES = ("CC", "BCC")
"""Headers that make RabbitMQ route a message to more queues; what was routed goes to one queue from then on."""


@dataclass(frozen=True)
class RabbitIncomingMessage:
    """`lost` is set when its connection is gone, `over` also when its consumer is leaving."""

    delivery: Delivery
    message: DeliveredMessage
    answers: Acknowledger
    topology: Topology
    retries: Sender
    lost: asyncio.Event
    over: asyncio.Event

    async def ack(self) -> None:
        await self.answers.ack(self._tag)

    async def nack(self) -> None:
        await self.answers.nack(self._tag)

    async def retry_later(self, later: Retry) -> None:
        """Send a copy to wait in a retry queue, then forget the original.

        While no copy can be sent the message stays in our hands, where it costs one place of the prefetch: nothing
        spins, and no redelivery is counted towards parking a message that did nothing wrong.
        """
        tier = self.topology.tier(self.delivery.queue, later.seconds)
        if tier is None and not await sleep_unless(self.over, later.seconds):
            tier = self.topology.prefix + self.delivery.queue
        if tier is None or not await self._sent(self._copy(tier, later)):
            await self.nack()
        else:
            failpoints.hit("worker.after_postpone")
            await self.ack()

    async def _sent(self, copy: Outgoing) -> bool:
        """Whether RabbitMQ has the copy; False once we are leaving, or no longer own the original."""
        while not self.lost.is_set():
            [failure] = await self.retries.send([copy])
            if failure is None:
                return True
            logger.bind(queue=self.delivery.queue).warning("a retry has to wait, {}", failure)
            if await sleep_unless(self.over, jittered(AGAIN_SECONDS)):
                break
        return False

    def _copy(self, tier: str, later: Retry) -> Outgoing:
        return Outgoing(
            exchange=DEFAULT_EXCHANGE,
            routing_key=tier,
            body=self.message.body,
            headers=self._headers(later),
            message_id=self._properties.message_id or str(uuid4()),
            content_type=self._properties.content_type,
        )

    def _headers(self, later: Retry) -> HeadersType:
        counted = {ATTEMPT: str(self.delivery.attempt + 1)} if later.counted else {}
        headers = {**strip_broker_headers(self._properties.headers or {}), **counted}
        try:
            field_table(headers)
        except UNSENDABLE:
            # pamqp reads things that it cannot write, such as text that is not UTF-8.
            return {**self.delivery.headers, **counted}
        return headers

    @property
    def _properties(self) -> Basic.Properties:
        return self.message.header.properties

    @property
    def _tag(self) -> int:
        assert self.message.delivery_tag is not None  # noqa: S101  only what was not delivered has none
        return self.message.delivery_tag


def strip_broker_headers(headers: HeadersType) -> HeadersType:
    """The headers as they were published, but for those that would send a copy to other queues again."""
    return {
        name: value for name, value in headers.items() if not name.startswith(BROKERS_OWN) and name not in MORE_QUEUES
    }


def writable_headers(headers: Mapping[str, str]) -> HeadersType:
    """Those of the headers that RabbitMQ can carry, and would not act on."""
    return {name: value for name, value in strip_broker_headers(dict(headers)).items() if _is_writable(name, value)}


def _is_writable(name: str, value: FieldValue) -> bool:
    try:
        field_table({name: value})
    except UNSENDABLE:
        return False
    return True
