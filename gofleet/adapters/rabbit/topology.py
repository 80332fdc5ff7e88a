"""What has to exist in RabbitMQ before anybody publishes or consumes.

    orders (topic) --> orders.created --crash loop--> orders.created.parking
                        ^         | consumer says Later
                        |         v
                        +-- orders.created.retry.1s, .5s, .30s, .120s (wait, then expire)

Everything is durable, replicated (quorum queues) and moved at least once. It works on RabbitMQ 3.10 and on 4.x.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aio_pika.exceptions import ChannelPreconditionFailed
from faststream.rabbit import ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue

from gofleet.domain.errors import GoFleetError
from gofleet.domain.messages import QUEUES, parking_queue

DEFAULT_EXCHANGE = RabbitExchange()
UNLIMITED = 2**31 - 1
"""As a delivery limit. RabbitMQ 4 has one by default (20), beyond which it drops; 3.10 does not know -1."""


class TopologyMismatch(GoFleetError):
    """RabbitMQ has an exchange or a queue of ours with other properties; only a person can decide to delete it."""

    code = "topology-mismatch"


@dataclass(frozen=True)
class Topology:
    """Names and properties. `prefix` sets installations apart; `tiers_seconds` are the delays of a retry;
    `delivery_limit` is how often a message may take its consumer down before it is parked. Unless `declared_by_us`
    somebody else makes all of it, of `gofleet topology`."""

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

    def tier(self, queue: str, seconds: float) -> str | None:
        """The retry queue that waits at least `seconds`, or the longest; None for a parking queue, which has none."""
        if queue not in self.queues:
            return None
        long_enough = [tier for tier in self.tiers_seconds if tier >= seconds]
        return self._tier_name(queue, min(long_enough, default=max(self.tiers_seconds)))

    def names(self) -> list[str]:
        """Of all queues: work, retry and parking."""
        work = [(self.prefix + name, self.prefix + parking_queue(name)) for name in self.queues]
        tiers = [self._tier_name(name, seconds) for name in self.queues for seconds in self.tiers_seconds]
        return [name for pair in work for name in pair] + tiers

    def declarations(self) -> list[RabbitQueue]:
        """All queues, as they are declared."""
        found = list[RabbitQueue]()
        for name in self.queues:
            found += [self._parking(parking_queue(name)), self._work(name)]
            found += [self._retry(name, seconds) for seconds in self.tiers_seconds]
        return found

    async def declare(self, broker: RabbitBroker) -> None:
        """Make sure that all of it exists; TopologyMismatch if something else has a name of ours."""
        try:
            exchange = await broker.declare_exchange(self.exchange)
            for name, types in self.queues.items():
                # Targets before the queues that move messages to them.
                await broker.declare_queue(self._parking(parking_queue(name)))
                work = await broker.declare_queue(self._work(name))
                for seconds in self.tiers_seconds:
                    await broker.declare_queue(self._retry(name, seconds))
                for routing_key in types:
                    await work.bind(exchange, routing_key, robust=False)
        except ChannelPreconditionFailed as error:
            raise TopologyMismatch(f"{error}; delete it, or use another prefix") from error

    def _work(self, queue: str) -> RabbitQueue:
        limit = {"x-delivery-limit": self.delivery_limit}
        return _quorum(self.prefix + queue, {**limit, **_moving_to(self.prefix + parking_queue(queue))})

    def _retry(self, queue: str, seconds: float) -> RabbitQueue:
        wait = {"x-message-ttl": round(seconds * 1000)}
        return _quorum(self._tier_name(queue, seconds), {**wait, **_moving_to(self.prefix + queue)})

    def _parking(self, queue: str) -> RabbitQueue:
        return _quorum(self.prefix + queue, {"x-delivery-limit": UNLIMITED})

    def _tier_name(self, queue: str, seconds: float) -> str:
        return f"{self.prefix}{queue}.retry.{seconds:g}s"


def _moving_to(queue: str) -> dict[str, Any]:
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",  # the default may lose messages on the way
        "x-overflow": "reject-publish",  # without it the line above is silently ignored
    }


def _quorum(name: str, arguments: dict[str, Any]) -> RabbitQueue:
    # Not robust: after a lost connection we declare everything anew, on a new one.
    return RabbitQueue(name, queue_type=QueueType.QUORUM, durable=True, robust=False, arguments=arguments)  # pyright: ignore[reportCallIssue, reportArgumentType]  # its TypedDict cannot be built from parts
