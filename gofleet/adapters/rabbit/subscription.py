"""The consuming of one queue over one connection after the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiormq
from aio_pika.abc import AbstractQueue
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitMessage
from loguru import logger

from gofleet.adapters.headers import as_text
from gofleet.adapters.in_flight import InFlight
from gofleet.adapters.rabbit.held import RabbitHeld, without_brokers_own
from gofleet.adapters.rabbit.sender import Sender
from gofleet.adapters.rabbit.session import RABBIT, RabbitServer, Session
from gofleet.adapters.rabbit.topology import Topology
from gofleet.adapters.watch import Watch, either, jittered, within
from gofleet.domain.errors import Unavailable
from gofleet.domain.messages import Delivery


@dataclass(frozen=True)
class Bounds:
    """Seconds for running handlers at the end, and on average between a lost connection and the next."""

    grace_seconds: float
    reconnect_seconds: float


@dataclass(frozen=True)
class Subscription:
    """`in_flight` outlives a connection, so that its bound holds while old handlers still run."""

    server: RabbitServer
    topology: Topology
    queue: str
    in_flight: InFlight
    retries: Sender
    prefetch: int
    bounds: Bounds
    watch: Watch

    async def consume(self, stop: asyncio.Event, begun: asyncio.Event) -> None:
        """Consume until `stop`, over one connection after the other; then finish what is in hand."""
        said = ""
        while not stop.is_set():
            try:
                await self._consume_once(stop, begun)
            except Unavailable as error:
                if str(error) != said:  # not every second of a long outage
                    said = str(error)
                    logger.bind(queue=self.queue).warning("consuming has to wait, {}", error)
            begun.set()
            await within(jittered(self.bounds.reconnect_seconds), stop)
        await self.in_flight.finish(self.bounds.grace_seconds)

    async def _consume_once(self, stop: asyncio.Event, begun: asyncio.Event) -> None:
        """Consume over a new connection until it is lost, or until `stop`."""
        session = await Session.open(self.server, self.topology, Channel(prefetch_count=self.prefetch))
        over = asyncio.Event()
        try:
            queue = await self._subscribe(session, over)
            begun.set()
            logger.bind(queue=self.queue).info("consuming")
            with self.watch.consuming(self.queue):
                await either(session.lost, stop)
            over.set()
            if session.lost.is_set():
                raise Unavailable(RABBIT, "the connection or the queue was lost")
            await _cancel_consumers(queue)
            await self.in_flight.finish(self.bounds.grace_seconds)
        except CONNECTION_EXCEPTIONS as error:
            raise Unavailable(RABBIT, str(error) or type(error).__name__) from error
        finally:
            over.set()
            self.in_flight.drop_waiting()
            await session.close()

    async def _subscribe(self, session: Session, over: asyncio.Event) -> AbstractQueue:
        broker = session.broker

        async def received(message: RabbitMessage) -> None:
            delivery = Delivery(self.queue, message.body, as_text(without_brokers_own(message.headers)))
            self.in_flight.accept(RabbitHeld(delivery, message, self.topology, self.retries, session.lost, over))

        declared = self.topology.queue(self.queue)
        subscriber = broker.subscriber(declared, ack_policy=AckPolicy.MANUAL, decoder=_as_it_is, no_reply=True)
        subscriber(received)
        # Or it would leave unanswered what arrives between basic.consume-ok and the moment it sets this itself.
        subscriber.running = True
        await broker.start()
        queue = await broker.declare_queue(declared)  # FastStream's own object, out of its cache
        await _tell_of_loss(queue, session.lost)
        return queue


async def _as_it_is(message: RabbitMessage) -> RabbitMessage:
    """A decoder that cannot fail: FastStream would leave a message it cannot decode unanswered for ever."""
    return message


async def _tell_of_loss(queue: AbstractQueue, lost: asyncio.Event) -> None:
    """A channel that RabbitMQ closes, or a consumer that it cancels because the queue is gone, is a lost connection."""

    def on_loss(*_: Any) -> None:
        lost.set()

    queue.channel.close_callbacks.add(on_loss)
    channel = await _channel(queue)
    channel.on_consumer_cancel_callbacks.add(on_loss)
    if channel.is_closed or not channel.consumers:
        lost.set()


async def _cancel_consumers(queue: AbstractQueue) -> None:
    """Let RabbitMQ send no more. What it sent before has been accepted, for it comes before its answer."""
    channel = await _channel(queue)
    for tag in tuple(channel.consumers):
        await queue.cancel(tag)


async def _channel(queue: AbstractQueue) -> aiormq.Channel:
    channel = await queue.channel.get_underlay_channel()
    assert isinstance(channel, aiormq.Channel)  # noqa: S101  the abstract one does not tell its consumers
    return channel
