"""One connection to RabbitMQ with our topology declared, or seen to be there, used until it is lost and then replaced
by a new one.

aio-pika could also mend a connection by itself. A new one is simpler to be sure of: it also brings back a deleted
queue, a cancelled consumer and a closed channel, and it never half works.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any
from urllib.parse import quote

import aio_pika
import aiormq
from aio_pika.abc import AbstractConnection, AbstractRobustConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from faststream.rabbit import Channel, RabbitBroker
from faststream.security import BaseSecurity

from gofleet.adapters.rabbit.presence import find_missing, summarize_names
from gofleet.adapters.rabbit.topology import Topology
from gofleet.domain.errors import Unavailable
from gofleet.waiting import cancel_and_wait, first_of

RABBIT = "RabbitMQ"
NEVER_SECONDS = 10.0**7
CLOSE_SECONDS = 3.0


@dataclass(frozen=True)
class RabbitServer:
    """Where RabbitMQ is and who we are there. A silent connection is given up after about three heartbeats."""

    host: str = "localhost"
    port: int = 5672
    user: str = "guest"
    password: str = "guest"  # noqa: S105  RabbitMQ's own default
    vhost: str = "/"
    heartbeat_seconds: int = 10
    connect_seconds: float = 3.0
    tls: SSLContext | None = None

    @property
    def url(self) -> str:
        """For AMQP 0-9-1 clients; it contains the password."""
        user, password, vhost = (quote(part, safe="") for part in (self.user, self.password, self.vhost))
        scheme = "amqps" if self.tls else "amqp"
        return f"{scheme}://{user}:{password}@{self.host}:{self.port}/{vhost}?heartbeat={self.heartbeat_seconds}"

    async def connect(self) -> AbstractConnection:
        """A bare connection, to look and to ask. Raises aio-pika's errors."""
        return await aio_pika.connect(self.url, timeout=self.connect_seconds, ssl_context=self.tls)


class Session:
    """`broker` is connected, `channel` its only one, and every queue exists, until `lost` is set."""

    channel: aiormq.Channel

    def __init__(self, server: RabbitServer, channel: Channel) -> None:
        self.lost = asyncio.Event()
        self.broker = RabbitBroker(
            server.url,
            security=BaseSecurity(server.tls) if server.tls else None,
            default_channel=channel,
            timeout=server.connect_seconds,
            reconnect_interval=NEVER_SECONDS,
            on_close=[self._on_lost],
            logger=None,
            apply_types=False,
        )
        self._connect_seconds = server.connect_seconds
        self._connection: AbstractRobustConnection | None = None

    @classmethod
    async def open(cls, server: RabbitServer, topology: Topology, channel: Channel) -> Session:
        """Connect, and declare or look; Unavailable, or TopologyMismatch."""
        session = cls(server, channel)
        try:
            await session._open(topology)
        except BaseException:
            await session.close()
            raise
        return session

    async def close(self) -> None:
        """Close the connection; messages we hold go back to their queues."""
        self.lost.set()
        closing = asyncio.create_task(self._close())
        await first_of(closing, timeout=CLOSE_SECONDS)
        await cancel_and_wait(closing)

    async def _open(self, topology: Topology) -> None:
        try:
            # The broker's own timeout ends the connecting; ours is for a server that falls silent after it.
            async with asyncio.timeout(2 * self._connect_seconds):
                self._connection = await self.broker.connect()
                await self._prepare(topology, self._connection)
                self.channel = await self._only_channel(topology)
        except TimeoutError as error:
            raise Unavailable(RABBIT, "no answer in time") from error
        except CONNECTION_EXCEPTIONS as error:
            raise Unavailable(RABBIT, str(error) or type(error).__name__) from error

    async def _prepare(self, topology: Topology, connection: AbstractConnection) -> None:
        if topology.declared_by_us:
            await topology.declare(self.broker)
        elif missing := await find_missing(connection, topology):
            why = f"it lacks {summarize_names(missing)}, and RABBITMQ_DECLARE=off leaves them to somebody else"
            raise Unavailable(RABBIT, why)

    async def _only_channel(self, topology: Topology) -> aiormq.Channel:
        exchange = await self.broker.declare_exchange(topology.exchange)  # FastStream's own object, out of its cache
        channel = await exchange.channel.get_underlay_channel()
        assert isinstance(channel, aiormq.Channel)  # noqa: S101  the abstract one does not tell confirmations and consumers
        return channel

    async def _close(self) -> None:
        try:
            await self.broker.stop()
        except CONNECTION_EXCEPTIONS:
            pass  # it was lost before
        finally:
            if self._connection is not None:
                await self._connection.close()

    def _on_lost(self, *_: Any) -> None:
        self.lost.set()
