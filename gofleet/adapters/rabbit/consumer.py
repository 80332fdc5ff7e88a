"""Consumes queues of RabbitMQ, through lost connections."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from gofleet.adapters.dispatcher import Dispatcher
from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.sender import Sender
from gofleet.adapters.rabbit.subscription import Bounds, Subscription
from gofleet.adapters.rabbit.topology import Topology
from gofleet.adapters.supervision import Supervisor
from gofleet.domain.messages import Handler


class RabbitConsumer:
    """Consumer over RabbitMQ. Keep `watch` in the process: it raises when consuming ended for good.

    At the end of a block running handlers have `grace_seconds`; a lost connection is replaced after
    `reconnect_seconds`; a retry that RabbitMQ does not confirm within `timeout_seconds` is sent again.
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
        self._bounds = Bounds(grace_seconds, reconnect_seconds)
        self._timeout_seconds = timeout_seconds

    @asynccontextmanager
    async def consuming(self, queue: str, handler: Handler, *, concurrency: int, prefetch: int) -> AsyncGenerator[None]:
        """As `ports.Consumer`. If RabbitMQ is away it begins when it is back; TopologyMismatch is raised."""
        async with Sender(self._server, self._topology, self._timeout_seconds) as retries:
            line = Subscription(
                self._server,
                self._topology,
                queue,
                Dispatcher(handler, concurrency),
                retries,
                prefetch,
                self._bounds,
                self.supervisor,
            )
            async with self.supervisor.running(queue, line.consume):
                yield
