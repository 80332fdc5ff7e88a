"""Parking guard: stores messages that cannot be handled in the dead-letter storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loguru import logger

from gofleet.domain.errors import Malformed, OrderNotFound, Unavailable, UnknownEventType
from gofleet.domain.messages import ACK, UNKNOWN_TYPE, Delivery, Handler, Outcome, Retry
from gofleet.domain.parked import CRASH_LOOP, HandlingFailure
from gofleet.ports import Parked


@dataclass(frozen=True)
class RetryRules:
    """Retry policy: maximum number of attempts, the delays before the second, third, ... attempt in seconds, and the
    number of lost consumers that a message survives."""

    max_attempts: int = 6
    tiers_seconds: Sequence[float] = (1, 5, 30, 120)
    crashes_max: int = 10

    def last(self, delivery: Delivery) -> bool:
        """Whether the attempt that failed was the last one."""
        return delivery.attempt + 1 >= self.max_attempts

    def delay(self, delivery: Delivery) -> float:
        return self.tiers_seconds[min(delivery.attempt, len(self.tiers_seconds) - 1)]


@dataclass(frozen=True)
class Parking:
    """Guard that retries or parks a message on any exception but `Unavailable`, which the outage guard handles, and
    `UnknownEventType`, of which the message is acknowledged: a later release, upgraded first, sends such events.

    A message that keeps losing its consumers is parked before it is handled again: the broker's own limit counts the
    deliveries of one copy only.
    """

    handler: Handler
    parked: Parked
    rules: RetryRules

    async def __call__(self, delivery: Delivery) -> Outcome:
        if delivery.crashes > self.rules.crashes_max:
            return await self._park(delivery, CRASH_LOOP)
        try:
            return await self.handler(delivery)
        except Unavailable:
            raise
        except UnknownEventType as error:
            logger.bind(queue=delivery.queue).info("message of a later release: {}", error)
            return UNKNOWN_TYPE
        except (Malformed, OrderNotFound) as error:
            return await self._park(delivery, HandlingFailure.of(error))
        except Exception as error:
            logger.bind(queue=delivery.queue, attempt=delivery.attempt).exception("handling failed")
            if self.rules.last(delivery):
                return await self._park(delivery, HandlingFailure.of(error))
            return Retry(self.rules.delay(delivery), counted=True)

    async def _park(self, delivery: Delivery, failure: HandlingFailure) -> Outcome:
        await self.parked.add(delivery, failure)
        logger.bind(queue=delivery.queue, reason=failure.cause.value).error("message parked: {}", failure.text)
        return ACK
