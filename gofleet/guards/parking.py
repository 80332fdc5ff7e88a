"""The end of the road for a message: what no retry cures, or what too many did not, is parked for people."""

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
    """How often a message is tried, and how many seconds pass before the second, third, ... try."""

    max_attempts: int = 6
    tiers_seconds: Sequence[float] = (1, 5, 30, 120)

    def last(self, delivery: Delivery) -> bool:
        """Whether the try that just failed was the last one."""
        return delivery.attempt + 1 >= self.max_attempts

    def delay(self, delivery: Delivery) -> float:
        return self.tiers_seconds[min(delivery.attempt, len(self.tiers_seconds) - 1)]


@dataclass(frozen=True)
class Parking:
    """Answers every exception but `Unavailable`, which is nobody's fault and waits outside."""

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
