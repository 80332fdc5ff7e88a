"""Parking guard: stores messages that cannot be handled in the dead-letter storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loguru import logger

from gofleet.domain.errors import Malformed, OrderNotFound, Unavailable
from gofleet.domain.messages import ACK, Delivery, Handler, Outcome, Retry
from gofleet.domain.parked import HandlingFailure
from gofleet.ports import Parked


@dataclass(frozen=True)
class RetryRules:
    """Retry policy: maximum number of attempts, and the delays before the second, third, ... attempt in seconds."""

    max_attempts: int = 6
    tiers_seconds: Sequence[float] = (1, 5, 30, 120)

    def last(self, delivery: Delivery) -> bool:
        """Whether the attempt that failed was the last one."""
        return delivery.attempt + 1 >= self.max_attempts

    def delay(self, delivery: Delivery) -> float:
        return self.tiers_seconds[min(delivery.attempt, len(self.tiers_seconds) - 1)]


@dataclass(frozen=True)
class Parking:
    """Guard that retries or parks a message on any exception but `Unavailable`, which the outage guard handles."""

    handler: Handler
    parked: Parked
    rules: RetryRules

    async def __call__(self, delivery: Delivery) -> Outcome:
        try:
            return await self.handler(delivery)
        except Unavailable:
            raise
        except (Malformed, OrderNotFound) as error:
            return await self._park(delivery, error)
        except Exception as error:
            logger.bind(queue=delivery.queue, attempt=delivery.attempt).exception("handling failed")
            if self.rules.last(delivery):
                return await self._park(delivery, error)
            return Retry(self.rules.delay(delivery), counted=True)

    async def _park(self, delivery: Delivery, error: Exception) -> Outcome:
        failure = HandlingFailure.of(error)
        await self.parked.add(delivery, failure)
        logger.bind(queue=delivery.queue, reason=failure.cause.value).error("message parked: {}", failure.text)
        return ACK
