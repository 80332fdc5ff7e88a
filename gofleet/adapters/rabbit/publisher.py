"""Publishes events to the `orders` exchange, with an outcome for every message."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from uuid import uuid4

from aio_pika.exceptions import DeliveryError, PublishError
from faststream.rabbit import Channel
from loguru import logger

from gofleet.adapters.rabbit.amqp import ConnectionDied, Outgoing, send_all, writable_headers
from gofleet.adapters.rabbit.connection import RABBIT, RabbitServer, Session
from gofleet.adapters.rabbit.topology import DEFAULT_EXCHANGE, Topology
from gofleet.domain.errors import GoFleetError, MessageRefused, Unavailable
from gofleet.domain.messages import Delivery, Message, needs_queue
from gofleet.telemetry.metrics import MESSAGES_UNROUTABLE


class RabbitPublisher:
    """`Publisher` over RabbitMQ: messages are persistent and confirmed within `timeout_seconds`; mandatory if a role
    waits for their type.

    It uses a connection of its own, opened when first needed and replaced when lost, because FastStream does not report
    unroutable messages that are published on a consumer's channel. Entering it opens the connection and raises only
    TopologyMismatch: RabbitMQ may be unavailable then and later. Without entering it, end it with `aclose()`.
    """

    def __init__(self, server: RabbitServer, topology: Topology | None = None, *, timeout_seconds: float = 5.0) -> None:
        self._server = server
        self._topology = topology or Topology()
        self._timeout_seconds = timeout_seconds
        self._opening: asyncio.Task[Session] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        try:
            await self.check()
        except Unavailable as error:
            logger.warning("cannot publish yet: {}", error)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        self._abandon(self._opening)
        if self._closing:
            await asyncio.wait(self._closing)

    async def check(self) -> None:
        """Open the connection if there is none: Unavailable or TopologyMismatch if publishing is impossible now."""
        await asyncio.shield(self._session())

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        """As `ports.Publisher`; raises TopologyMismatch, which only an operator can resolve."""
        return await self.send([self._event(message) for message in messages])

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        """As `ports.Publisher`; through the default exchange, which routes to each queue by its name."""
        queues = self._topology.queues
        known = [self._replay(delivery) for delivery in deliveries if delivery.queue in queues]
        outcomes = iter(await self.send(known))
        return [
            next(outcomes) if delivery.queue in queues else MessageRefused(f"{delivery.queue} is no queue of ours")
            for delivery in deliveries
        ]

    async def send(self, messages: Sequence[Outgoing]) -> list[GoFleetError | None]:
        """Send all messages at once and wait until each is confirmed (None), refused, or the time is up.

        Raises TopologyMismatch, which only an operator can resolve.
        """
        until = asyncio.get_running_loop().time() + self._timeout_seconds
        opening = self._session()
        try:
            async with asyncio.timeout_at(until):
                session = await asyncio.shield(opening)
        except Unavailable as error:
            return [error] * len(messages)
        except TimeoutError:
            return [self._timed_out()] * len(messages)
        outcomes = await send_all(session.channel, messages, until)
        errors = [None if outcome is None else self._translate(outcome) for outcome in outcomes]
        if any(errors):
            # A new connection declares everything again, in case a queue was deleted.
            self._abandon(opening)
        return errors

    def _session(self) -> asyncio.Task[Session]:
        """The task that opens the session to use: the present one, or a new one if that failed or was lost."""
        opening = self._opening
        if opening is None or (opening.done() and _is_over(opening)):
            self._abandon(opening)
            channel = Channel(publisher_confirms=True, on_return_raises=True)
            opening = asyncio.create_task(Session.open(self._server, self._topology, channel))
            self._opening = opening
        return opening

    def _abandon(self, opening: asyncio.Task[Session] | None) -> None:
        """Close that session in the background."""
        if opening is None:
            return
        if opening is self._opening:
            self._opening = None
        closing = asyncio.create_task(_close(opening))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _translate(self, error: BaseException) -> GoFleetError:
        match error:
            case PublishError():
                MESSAGES_UNROUTABLE.inc()
                return MessageRefused("no queue takes it")
            case DeliveryError():
                # A nack is no fault of the message: our queues have no limits, so RabbitMQ itself cannot accept it
                # now, such as after its disk was full. Counted, a 15-minute outage would fail every event.
                return Unavailable(RABBIT, "it accepts no messages now")
            case TypeError() | ValueError() | struct.error():
                return MessageRefused(f"it cannot be encoded as AMQP: {error}")
            case TimeoutError():
                return self._timed_out()
            case ConnectionDied():
                return Unavailable(RABBIT, "the connection was lost")
            case _:
                return Unavailable(RABBIT, str(error) or type(error).__name__)

    def _timed_out(self) -> Unavailable:
        return Unavailable(RABBIT, f"no answer within {self._timeout_seconds:g} s")

    def _event(self, message: Message) -> Outgoing:
        return Outgoing(
            exchange=self._topology.exchange,
            routing_key=message.type,
            body=message.body,
            headers=dict(message.headers()),
            message_id=message.event_id,
            mandatory=needs_queue(message.type),
        )

    def _replay(self, delivery: Delivery) -> Outgoing:
        return Outgoing(
            exchange=DEFAULT_EXCHANGE,
            routing_key=self._topology.prefix + delivery.queue,
            body=delivery.body,
            headers=writable_headers(delivery.headers),
            message_id=str(uuid4()),  # the same event may have been parked twice
        )


def _is_over(opening: asyncio.Task[Session]) -> bool:
    return opening.cancelled() or opening.exception() is not None or opening.result().lost.is_set()


async def _close(opening: asyncio.Task[Session]) -> None:
    # Never cancelled: it ends by itself within seconds, and aio-pika leaks a connection cancelled while it opens.
    await asyncio.wait({opening})
    if not opening.cancelled() and opening.exception() is None:
        await opening.result().close()
