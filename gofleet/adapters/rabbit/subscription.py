"""The consuming of one queue over one connection after the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiormq
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import DeliveredMessage
from faststream.rabbit import Channel
from loguru import logger

from gofleet.adapters.dispatcher import Dispatcher
from gofleet.adapters.headers import decode_headers
from gofleet.adapters.rabbit.acks import Acknowledger
from gofleet.adapters.rabbit.connection import RABBIT, RabbitServer, Session
from gofleet.adapters.rabbit.incoming import RabbitIncomingMessage, strip_broker_headers
from gofleet.adapters.rabbit.sender import Sender
from gofleet.adapters.rabbit.topology import Topology
from gofleet.adapters.supervision import Supervisor, jittered
from gofleet.domain.errors import Unavailable
from gofleet.domain.messages import Delivery
from gofleet.waiting import first_of, sleep_unless


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
    dispatcher: Dispatcher
    retries: Sender
    prefetch: int
    bounds: Bounds
    supervisor: Supervisor

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
            await sleep_unless(stop, jittered(self.bounds.reconnect_seconds))
        await self.dispatcher.finish(self.bounds.grace_seconds)

    async def _consume_once(self, stop: asyncio.Event, begun: asyncio.Event) -> None:
        """Consume over a new connection until it is lost, or until `stop`."""
        session = await Session.open(self.server, self.topology, Channel(prefetch_count=self.prefetch))
        over = asyncio.Event()
        try:
            await self._subscribe(session, over)
            begun.set()
            logger.bind(queue=self.queue).info("consuming")
            with self.supervisor.consuming(self.queue):
                await first_of(session.lost, stop)
            over.set()
            if session.lost.is_set():
                raise Unavailable(RABBIT, "the connection or the queue was lost")
            await _cancel_consumers(session.channel)
            await self.dispatcher.finish(self.bounds.grace_seconds)
        except CONNECTION_EXCEPTIONS as error:
            raise Unavailable(RABBIT, str(error) or type(error).__name__) from error
        finally:
            over.set()
            self.dispatcher.drop_waiting()
            await session.close()

    async def _subscribe(self, session: Session, over: asyncio.Event) -> None:
        """Straight from the channel: FastStream's way of a message to its handler costs as much again, and its
        connection and declarations are all that is wanted of it."""

        async def received(message: DeliveredMessage) -> None:
            headers = decode_headers(strip_broker_headers(message.header.properties.headers or {}))
            delivery = Delivery(self.queue, message.body, headers)
            held = RabbitIncomingMessage(delivery, message, answers, self.topology, self.retries, session.lost, over)
            self.dispatcher.accept(held)

        channel = session.channel
        answers = Acknowledger(channel)
        _tell_of_loss(channel, session.lost)
        await channel.basic_consume(self.topology.queue(self.queue).name, received)
        if channel.is_closed:
            session.lost.set()


def _tell_of_loss(channel: aiormq.Channel, lost: asyncio.Event) -> None:
    """A channel that RabbitMQ closes, or a consumer that it cancels because the queue is gone, is a lost connection."""

    def on_loss(_: object) -> None:
        lost.set()

    closing: asyncio.Future[object] = channel.closing  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    closing.add_done_callback(on_loss)
    channel.on_consumer_cancel_callbacks.add(on_loss)


async def _cancel_consumers(channel: aiormq.Channel) -> None:
    """Let RabbitMQ send no more. What it sent before has been accepted, for it comes before its answer."""
    for tag in tuple(channel.consumers):
        await channel.basic_cancel(tag)
