"""The exchange and queues that must exist in RabbitMQ before anything is published or consumed.

    orders (topic) --> orders.created --delivery limit--> orders.created.parking
                        ^         | Retry
                        |         v
                        +-- orders.created.retry.1s, .5s, .30s, .120s (wait, then expire)

Everything is durable, replicated (quorum queues) and dead-lettered at least once. It works on RabbitMQ 3.10 and 4.x.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiormq
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.exceptions import ChannelNotFoundEntity
from faststream.rabbit import ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue

from gofleet.adapters.rabbit.amqp import bare_channel
from gofleet.domain.errors import GoFleetError
from gofleet.domain.messages import QUEUES, parking_queue
from gofleet.settings import Settings

DEFAULT_EXCHANGE = RabbitExchange()
UNLIMITED = 2**31 - 1
"""As a delivery limit. RabbitMQ 4 drops messages beyond its default of 20; 3.10 does not accept -1."""
CREATE_SECONDS = 0.25
"""How long a queue must have been missing before it is created. RabbitMQ needs some 50 ms to tell the consumers of a
deleted queue; if a queue of that name exists by then it tells them nothing, and they wait forever (seen with 3.10)."""
NAMES_MAX = 3
"""Names that a summary lists; it counts the others."""

PassiveDeclare = Callable[[aiormq.Channel], Awaitable[object]]


class TopologyMismatch(GoFleetError):
    """RabbitMQ has an exchange or queue of ours with other properties; only an operator can decide to delete it."""

    code = "topology-mismatch"


@dataclass(frozen=True)
class Topology:
    """Names and properties. `prefix` separates installations; `tiers_seconds` are the delays of the retry queues;
    `delivery_limit` is how many deliveries may end in a lost consumer before a message is parked. Unless
    `declared_by_us`, an operator creates everything from the output of `gofleet topology`."""

    prefix: str = ""
    tiers_seconds: tuple[float, ...] = (1, 5, 30, 120)
    delivery_limit: int = 10
    queues: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: QUEUES)
    declared_by_us: bool = True

    @property
    def exchange(self) -> RabbitExchange:
        name, ours = f"{self.prefix}orders", self.declared_by_us
        return RabbitExchange(name, type=ExchangeType.TOPIC, durable=True, robust=False, declare=ours)

    def queue(self, queue: str) -> RabbitQueue:
        """The work queue or parking queue of that name, as declared."""
        return self._parking(queue) if queue not in self.queues else self._work(queue)

    def retry_queue(self, queue: str, seconds: float) -> str | None:
        """The name of the retry queue that waits at least `seconds`, or the longest; None for a parking queue."""
        if queue not in self.queues:
            return None
        long_enough = [tier for tier in self.tiers_seconds if tier >= seconds]
        return self._retry_name(queue, min(long_enough, default=max(self.tiers_seconds)))

    def names(self) -> list[str]:
        """The names of all work, retry and parking queues."""
        work = [(self.prefix + name, self.prefix + parking_queue(name)) for name in self.queues]
        retries = [self._retry_name(name, seconds) for name in self.queues for seconds in self.tiers_seconds]
        return [name for pair in work for name in pair] + retries

    def declarations(self) -> list[RabbitQueue]:
        """All queues, as declared."""
        declared = list[RabbitQueue]()
        for name in self.queues:
            declared += [self._parking(parking_queue(name)), self._work(name)]
            declared += [self._retry(name, seconds) for seconds in self.tiers_seconds]
        return declared

    async def declare(self, broker: RabbitBroker, connection: AbstractConnection) -> None:
        """Declare everything; TopologyMismatch if one of the names exists with other properties.

        A queue that does not exist may have been deleted just now: it is created after `CREATE_SECONDS` only.
        """
        try:
            await broker.declare_exchange(self.exchange)
            # Dead-letter targets come before the queues that dead-letter to them.
            missing = list[RabbitQueue]()
            async with _probing(connection) as exists:
                for queue in self.declarations():
                    if await exists(partial(_declare_queue, name=queue.name)):
                        await self._declare(broker, queue)
                    else:
                        missing.append(queue)
            if missing:
                await asyncio.sleep(CREATE_SECONDS)
            for queue in missing:
                await self._declare(broker, queue)
        except ChannelPreconditionFailed as error:
            raise TopologyMismatch(f"{error}; delete it, or use another prefix") from error

    async def _declare(self, broker: RabbitBroker, queue: RabbitQueue) -> None:
        """Declare the queue and its bindings."""
        exchange, declared = await broker.declare_exchange(self.exchange), await broker.declare_queue(queue)
        for routing_key in self.queues.get(queue.name.removeprefix(self.prefix), ()):
            await declared.bind(exchange, routing_key, robust=False)

    def _work(self, queue: str) -> RabbitQueue:
        limit = {"x-delivery-limit": self.delivery_limit}
        return _quorum_queue(self.prefix + queue, {**limit, **_dead_lettering_to(self.prefix + parking_queue(queue))})

    def _retry(self, queue: str, seconds: float) -> RabbitQueue:
        ttl = {"x-message-ttl": round(seconds * 1000)}
        return _quorum_queue(self._retry_name(queue, seconds), {**ttl, **_dead_lettering_to(self.prefix + queue)})

    def _parking(self, queue: str) -> RabbitQueue:
        return _quorum_queue(self.prefix + queue, {"x-delivery-limit": UNLIMITED})

    def _retry_name(self, queue: str, seconds: float) -> str:
        return f"{self.prefix}{queue}.retry.{seconds:g}s"


def topology_of(settings: Settings) -> Topology:
    """The topology of an installation."""
    at, prefix = settings.broker, settings.general.name_prefix
    return Topology(prefix, at.tiers, at.delivery_limit, declared_by_us=at.declare == "on")


@asynccontextmanager
async def _probing(connection: AbstractConnection) -> AsyncGenerator[Callable[[PassiveDeclare], Awaitable[bool]]]:
    """A function that tells whether something exists, by its passive declaration."""
    channel = await bare_channel(connection)

    async def exists(declare: PassiveDeclare) -> bool:
        nonlocal channel
        try:
            await declare(channel)
        except ChannelNotFoundEntity:  # and RabbitMQ has closed the channel
            channel = await bare_channel(connection)
            return False
        return True

    yield exists
    await channel.close()


async def find_missing(connection: AbstractConnection, topology: Topology) -> list[str]:
    """The names of the exchange and queues that do not exist, by passive declaration, which needs no permission and
    changes nothing. AMQP cannot query bindings."""
    async with _probing(connection) as exists:
        return [name for name, declare in _passive_declarations(topology) if not await exists(declare)]


def summarize_names(names: Sequence[str]) -> str:
    """The first names and the number of the others, for messages."""
    others = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return f"{', '.join(names[:NAMES_MAX])}{others}"


def _passive_declarations(topology: Topology) -> list[tuple[str, PassiveDeclare]]:
    exchange = topology.exchange.name
    declarations: list[tuple[str, PassiveDeclare]] = [(exchange, partial(_declare_exchange, name=exchange))]
    return declarations + [(name, partial(_declare_queue, name=name)) for name in topology.names()]


async def _declare_exchange(channel: aiormq.Channel, name: str) -> None:
    await channel.exchange_declare(name, passive=True)


async def _declare_queue(channel: aiormq.Channel, name: str) -> None:
    await channel.queue_declare(name, passive=True)


def _dead_lettering_to(queue: str) -> dict[str, Any]:
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",  # the default may lose messages on the way
        "x-overflow": "reject-publish",  # without it RabbitMQ silently ignores the strategy
    }


def _quorum_queue(name: str, arguments: dict[str, Any]) -> RabbitQueue:
    # Not robust: after a lost connection everything is declared again, on a new connection.
    return RabbitQueue(name, queue_type=QueueType.QUORUM, durable=True, robust=False, arguments=arguments)  # pyright: ignore[reportCallIssue, reportArgumentType]  # its TypedDict cannot be built from parts
