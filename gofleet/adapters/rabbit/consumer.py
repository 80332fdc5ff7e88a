"""Consumes queues of RabbitMQ, reconnecting after each lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import DeliveredMessage
from faststream.rabbit import Channel
from loguru import logger

from gofleet.adapters.dispatcher import CAUTIOUS_SECONDS, Dispatcher, decode_headers
from gofleet.adapters.rabbit.acks import Acknowledger
from gofleet.adapters.rabbit.amqp import cancel_consumers, redeliveries, set_on_loss, strip_broker_headers
from gofleet.adapters.rabbit.connection import RABBIT, RabbitServer, Session
from gofleet.adapters.rabbit.incoming import RabbitIncomingMessage
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import Topology
from gofleet.adapters.supervision import Supervisor, jittered
from gofleet.domain.errors import Unavailable
from gofleet.domain.messages import Delivery, Handler, with_crashes
from gofleet.waiting import cancel_and_wait, first_of, sleep_unless

Receive = Callable[[DeliveredMessage], Coroutine[Any, Any, None]]


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
        session = await Session.open(self.server, self.topology, Channel())
        ended = asyncio.Event()
        self.dispatcher.pause = partial(cancel_consumers, session.channel)
        receive = self._receiver(session, ended)
        try:
            await self._subscribe(session, receive)
            started.set()
            consumed.set()
            logger.bind(queue=self.queue).info("consuming")
            with self.supervisor.consuming(self.queue):
                while not await self._until_over(session, stop):
                    await self._subscribe(session, receive)
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

    async def _until_over(self, session: Session, stop: asyncio.Event) -> bool:
        """True once the connection is lost, or at `stop`; False once another prefetch is needed, because suspects have
        come or come no more: the present consumer is cancelled, and no message is in flight."""
        cautious, over = self.dispatcher.is_cautious, (session.lost, stop)
        while cautious == self.dispatcher.is_cautious and not self.dispatcher.suspected.is_set():
            await first_of(*over, self.dispatcher.suspected, timeout=CAUTIOUS_SECONDS if cautious else None)
            if any(event.is_set() for event in over):
                return True
        await cancel_consumers(session.channel)
        none_in_flight = asyncio.create_task(self.dispatcher.has_capacity(1))
        await first_of(*over, none_in_flight)
        await cancel_and_wait(none_in_flight)
        return any(event.is_set() for event in over)

    async def _subscribe(self, session: Session, receive: Receive) -> None:
        """Consume on the aiormq channel itself: FastStream's path from a message to its handler costs as much again."""
        channel = session.channel
        self.dispatcher.suspected.clear()
        await channel.basic_qos(prefetch_count=1 if self.dispatcher.is_cautious else self.prefetch)
        await channel.basic_consume(self.topology.queue(self.queue).name, receive)
        if channel.is_closed:
            session.lost.set()

    def _receiver(self, session: Session, ended: asyncio.Event) -> Receive:
        acknowledger = Acknowledger(session.channel)

        async def receive(message: DeliveredMessage) -> None:
            headers = message.header.properties.headers or {}
            own = with_crashes(decode_headers(strip_broker_headers(headers)), redeliveries(headers))
            delivery = Delivery(self.queue, message.body, own)
            self.dispatcher.accept(
                RabbitIncomingMessage(delivery, message, acknowledger, self.topology, self.retries, session.lost, ended)
            )

        set_on_loss(session.channel, session.lost)
        return receive
