"""A connection to RabbitMQ with our topology declared or verified, used until it is lost and then replaced.

aio-pika could also repair a connection. A new one is simpler to verify: it also restores a deleted queue, a cancelled
consumer and a closed channel, and it never works partially.
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
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    ConnectionClosed,
    ProbableAuthenticationError,
    ProtocolSyntaxError,
)
from faststream.rabbit import Channel, RabbitBroker
from faststream.security import BaseSecurity

from gofleet.adapters.rabbit.amqp import only_channel
from gofleet.adapters.rabbit.topology import Topology, find_missing, summarize_names
from gofleet.adapters.tls import is_certificate_refused
from gofleet.domain.errors import LoginRefused, Misconfigured, Unavailable
from gofleet.waiting import cancel_and_wait, first_of

RABBIT = "RabbitMQ"
NEVER_SECONDS = 10.0**7
CLOSE_SECONDS = 3.0


@dataclass(frozen=True)
class RabbitServer:
    """Address and credentials. A silent connection is closed after about three heartbeats."""

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
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{user}:{password}@{host}:{self.port}/{vhost}?heartbeat={self.heartbeat_seconds}"

    async def connect(self) -> AbstractConnection:
        """A bare connection, for inspection. `Misconfigured` if the server, or we, refuse it; else `Unavailable`."""
        try:
            return await aio_pika.connect(self.url, timeout=self.connect_seconds, ssl_context=self.tls)
        except ProbableAuthenticationError as error:
            raise LoginRefused(RABBIT, f"{self.user} and its password are not accepted") from error
        except ConnectionClosed as error:
            raise LoginRefused(RABBIT, str(error)) from error
        except ProtocolSyntaxError as error:
            # RabbitMQ closes the connection instead of opening the virtual host, and the client does not report why.
            reason = f"there is no virtual host {self.vhost}, or {self.user} may not use it"
            raise LoginRefused(RABBIT, reason) from error
        except CONNECTION_EXCEPTIONS as error:
            kind = Misconfigured if is_certificate_refused(error) else Unavailable
            raise kind(RABBIT, str(error) or type(error).__name__) from error

    async def check_login(self) -> None:
        """Connect and disconnect; the errors of `connect`."""
        async with await self.connect():
            pass


class Session:
    """A connected `broker`, its only `channel`, and every queue in existence, until `lost` is set."""

    channel: aiormq.Channel

    def __init__(self, server: RabbitServer, channel: Channel) -> None:
        self.lost = asyncio.Event()
        self.broker = RabbitBroker(
            server.url,
            security=BaseSecurity(server.tls) if server.tls else None,
            default_channel=channel,
            timeout=server.connect_seconds,
            reconnect_interval=NEVER_SECONDS,
            on_close=[self._on_close],
            logger=None,
            apply_types=False,
        )
        self._connect_seconds = server.connect_seconds
        self._connection: AbstractRobustConnection | None = None

    @classmethod
    async def open(cls, server: RabbitServer, topology: Topology, channel: Channel) -> Session:
        """Connect, and declare or verify the topology; Unavailable, or TopologyMismatch."""
        session = cls(server, channel)
        try:
            await session._open(topology)
        except BaseException:
            await session.close()
            raise
        return session

    async def close(self) -> None:
        """Close the connection; unacknowledged messages return to their queues."""
        self.lost.set()
        closing = asyncio.create_task(self._close())
        await first_of(closing, timeout=CLOSE_SECONDS)
        await cancel_and_wait(closing)

    async def _open(self, topology: Topology) -> None:
        try:
            # The broker's own timeout bounds connecting; this one also bounds a server that falls silent afterwards.
            async with asyncio.timeout(2 * self._connect_seconds):
                self._connection = await self.broker.connect()
                await self._prepare(topology, self._connection)
                self.channel = await only_channel(self.broker, topology.exchange)
        except TimeoutError as error:
            raise Unavailable(RABBIT, "no answer in time") from error
        except CONNECTION_EXCEPTIONS as error:
            raise Unavailable(RABBIT, str(error) or type(error).__name__) from error

    async def _prepare(self, topology: Topology, connection: AbstractConnection) -> None:
        if topology.declared_by_us:
            await topology.declare(self.broker, connection)
        elif missing := await find_missing(connection, topology):
            reason = (
                f"it lacks {summarize_names(missing)}, and RABBITMQ_DECLARE=off means that an operator creates them"
            )
            raise Unavailable(RABBIT, reason)

    async def _close(self) -> None:
        try:
            await self.broker.stop()
        except CONNECTION_EXCEPTIONS:
            pass  # it was lost earlier
        finally:
            if self._connection is not None:
                await self._connection.close()

    def _on_close(self, *_: Any) -> None:
        self.lost.set()
