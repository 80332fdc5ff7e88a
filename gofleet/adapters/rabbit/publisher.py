"""Publishes events to the `orders` exchange."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self
from uuid import uuid4

from loguru import logger

from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.incoming import writable_headers
from gofleet.adapters.rabbit.outgoing import Outgoing
from gofleet.adapters.rabbit.sender import Sender
from gofleet.adapters.rabbit.topology import DEFAULT_EXCHANGE, Topology
from gofleet.domain.errors import GoFleetError, MessageRefused, Unavailable
from gofleet.domain.messages import Delivery, Message


class RabbitPublisher:
    """Publisher over RabbitMQ: persistent, mandatory, confirmed within `timeout_seconds`.

    RabbitMQ may be away when it is entered and at any time later; entering raises only TopologyMismatch.
    """

    def __init__(self, server: RabbitServer, topology: Topology | None = None, *, timeout_seconds: float = 5.0) -> None:
        self._topology = topology or Topology()
        self._sender = Sender(server, self._topology, timeout_seconds)

    async def __aenter__(self) -> Self:
        await self._sender.__aenter__()
        try:
            await self.check()
        except Unavailable as error:
            logger.warning("publishing has to wait, {}", error)
        except BaseException:
            await self._sender.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sender.__aexit__(kind, error, trace)

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        """As `ports.Publisher`; raises TopologyMismatch, for then nothing will ever be published."""
        return await self._sender.send([self._outgoing(message) for message in messages])

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        """As `ports.Publisher`; through the default exchange, which knows every queue by its name."""
        queues = self._topology.queues
        answers = iter(await self._sender.send([self._returning(one) for one in deliveries if one.queue in queues]))
        nobodys = (MessageRefused(f"{one.queue} is no queue of ours") for one in deliveries if one.queue not in queues)
        return [next(answers if one.queue in queues else nobodys) for one in deliveries]

    async def check(self) -> None:
        """Whether it could publish now: Unavailable or TopologyMismatch if not."""
        await self._sender.connect()

    def _outgoing(self, message: Message) -> Outgoing:
        return Outgoing(
            exchange=self._topology.exchange,
            routing_key=message.type,
            body=message.body,
            headers=dict(message.headers()),
            message_id=message.event_id,
        )

    def _returning(self, delivery: Delivery) -> Outgoing:
        return Outgoing(
            exchange=DEFAULT_EXCHANGE,
            routing_key=self._topology.prefix + delivery.queue,
            body=delivery.body,
            headers=writable_headers(delivery.headers),
            message_id=str(uuid4()),  # the same event may have been parked twice
        )
