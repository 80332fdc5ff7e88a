"""Exponential backoff with jitter, inside one delivery: for failures that a moment cures.

All tries together stay near a second, for while they last the message holds one of the worker's few places; longer
waits happen in the broker's delayed queues.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import stamina

from gofleet.domain.errors import FleetBreakerOpen, FleetUnavailable
from gofleet.domain.messages import Delivery, Handler, Outcome


def _passing(error: Exception) -> bool:
    """Whether trying again at once makes sense; an open breaker says that it does not."""
    return isinstance(error, FleetUnavailable) and not isinstance(error, FleetBreakerOpen)


@dataclass(frozen=True)
class Backoff:
    handler: Handler
    attempts: int = 3
    total_seconds: float = 1.0

    async def __call__(self, delivery: Delivery) -> Outcome:
        began = time.monotonic()
        try:
            return await self.handler(delivery)  # without stamina, which takes longer than the other guards together
        except FleetUnavailable as error:
            left_seconds = began + self.total_seconds - time.monotonic()
            if not _passing(error) or left_seconds <= 0:
                raise
            return await self._again(delivery, error, left_seconds)

    async def _again(self, delivery: Delivery, first: FleetUnavailable, left_seconds: float) -> Outcome:
        """The tries that are left, in `left_seconds`; the one that failed counts."""
        tries = stamina.retry_context(
            on=_passing,
            attempts=self.attempts,
            timeout=left_seconds,
            wait_initial=0.05,
            wait_max=0.4,
            wait_jitter=0.05,
        )
        async for attempt in tries:
            with attempt:
                if attempt.num == 1:
                    raise first
                return await self.handler(delivery)
        raise AssertionError("unreachable: the last try returns or raises")
