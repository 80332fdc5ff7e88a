"""Consumes queues of RabbitMQ, reconnecting after each lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import DeliveredMessage
from faststream.rabbit import Channel
from loguru import logger

from gofleet.adapters.dispatcher import Dispatcher, decode_headers
from gofleet.adapters.rabbit.acks import Acknowledger
from gofleet.adapters.rabbit.amqp import cancel_consumers, set_on_loss, strip_broker_headers
from gofleet.adapters.rabbit.connection import RABBIT, RabbitServer, Session
from gofleet.adapters.rabbit.incoming import RabbitIncomingMessage
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import Topology
from gofleet.adapters.supervision import Supervisor, jittered
from gofleet.domain.errors import Unavailable
from gofleet.domain.messages import Delivery, Handler
from gofleet.waiting import first_of, sleep_unless


class RabbitConsumer:
    """`Consumer` over RabbitMQ. Run `supervisor` in the process: it raises when consuming has ended.

    At the end of a block running handlers have `grace_seconds`; a lost connection is replaced after about
    `reconnect_seconds`; a retry that RabbitMQ does not confirm within `timeout_seconds` is published again.
    """

    def __init__(
        self,
        server: RabbitServer,
        topology: Topology | None = None,
        *,
        grace_seconds: float = 20.0,
        reconnect_seconds: float = 1.0,
        timeout_seconds: float = 5.0,
    ) -> None:
        self.supervisor = Supervisor()
        self._server = server
        self._topology = topology or Topology()
        self._grace_seconds = grace_seconds
        self._reconnect_seconds = reconnect_seconds
        self._timeout_seconds = timeout_seconds

    @asynccontextmanager
    async def consuming(self, queue: str, handler: Handler, *, concurrency: int, prefetch: int) -> AsyncGenerator[None]:
        """As `ports.Consumer`. While RabbitMQ is unavailable it waits; TopologyMismatch is raised."""
        retries = RabbitPublisher(self._server, self._topology, timeout_seconds=self._timeout_seconds)
        async with aclosing(retries):
            subscription = _Subscription(
                self._server,
                self._topology,
                queue,
                Dispatcher(handler, concurrency),
                retries,
                prefetch,
                self._grace_seconds,
                self._reconnect_seconds,
                self.supervisor,
            )
            async with self.supervisor.running(queue, subscription.consume):
                yield


@dataclass(frozen=True)
class _Subscription:
    """Consumes one queue. `dispatcher` outlives each connection, so that its limit holds while older handlers run."""

    server: RabbitServer
    topology: Topology
    queue: str
    dispatcher: Dispatcher
    retries: RabbitPublisher
    prefetch: int
    grace_seconds: float
    reconnect_seconds: float
    supervisor: Supervisor

    async def consume(self, stop: asyncio.Event, started: asyncio.Event) -> None:
        """Consume until `stop`, reconnecting when necessary; then finish the messages in flight."""
        last_error, consumed = "", asyncio.Event()
        while not stop.is_set():
            consumed.clear()
            try:
                await self._consume_once(stop, started, consumed)
            except Unavailable as error:
                if consumed.is_set() or str(error) != last_error:  # not every second of a long outage
                    last_error = str(error)
                    logger.bind(queue=self.queue).warning("cannot consume, reconnecting: {}", error)
            started.set()
            await sleep_unless(stop, jittered(self.reconnect_seconds))
        await self.dispatcher.finish(self.grace_seconds)

    async def _consume_once(self, stop: asyncio.Event, started: asyncio.Event, consumed: asyncio.Event) -> None:
        """Consume over a new connection until it is lost, or until `stop`; sets `consumed` once it does."""
        session = await Session.open(self.server, self.topology, Channel(prefetch_count=self.prefetch))
        ended = asyncio.Event()
        try:
            await self._subscribe(session, ended)
            started.set()
            consumed.set()
            logger.bind(queue=self.queue).info("consuming")
            with self.supervisor.consuming(self.queue):
                await first_of(session.lost, stop)
            ended.set()
            if session.lost.is_set():
                raise Unavailable(RABBIT, "the connection or the queue was lost")
            await cancel_consumers(session.channel)
            await self.dispatcher.finish(self.grace_seconds)
        except CONNECTION_EXCEPTIONS as error:
            raise Unavailable(RABBIT, str(error) or type(error).__name__) from error
        finally:
            ended.set()
            self.dispatcher.drop_waiting()
            await session.close()

    async def _subscribe(self, session: Session, ended: asyncio.Event) -> None:
        """Consume on the aiormq channel itself: FastStream's path from a message to its handler costs as much again."""
        channel = session.channel
        acknowledger = Acknowledger(channel)

        async def received(message: DeliveredMessage) -> None:
            headers = decode_headers(strip_broker_headers(message.header.properties.headers or {}))
            delivery = Delivery(self.queue, message.body, headers)
            self.dispatcher.accept(
                RabbitIncomingMessage(delivery, message, acknowledger, self.topology, self.retries, session.lost, ended)
            )

        set_on_loss(channel, session.lost)
        await channel.basic_consume(self.topology.queue(self.queue).name, received)
        if channel.is_closed:
            session.lost.set()
