"""Guards that bound and repeat one attempt to handle a message: outage, backoff, deadline."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

import stamina
from loguru import logger

from gofleet.domain.errors import DeadlineExceeded, FleetBreakerOpen, FleetUnavailable, Unavailable
from gofleet.domain.messages import Delivery, Handler, Outcome, Retry

PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.1, 2.0


@dataclass(frozen=True)
class Outage:
    """Waits for a dependency of the handler, such as Redis or PostgreSQL, to become available again.

    The message stays unacknowledged for at most `hold_seconds`, or until `stopping`, and is then retried later without
    counting an attempt. Once every slot of the worker holds a waiting message the broker sends no more: a pause instead
    of a storm of redeliveries.
    """

    handler: Handler
    stopping: asyncio.Event
    hold_seconds: float
    retry_seconds: float = 5.0

    async def __call__(self, delivery: Delivery) -> Outcome:
        until, pause = time.monotonic() + self.hold_seconds, PAUSE_SECONDS_MIN
        while True:
            try:
                return await self.handler(delivery)
            except Unavailable as error:
                if self.stopping.is_set() or time.monotonic() + pause > until:
                    return Retry(self.retry_seconds)
                logger.bind(queue=delivery.queue).warning("waiting: {}", error)
            await self._pause(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not a secret
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            pass


@dataclass(frozen=True)
class Deadline:
    """Time limit of one attempt, shorter than the lease that protects it. `DeadlineExceeded`."""

    handler: Handler
    seconds: float

    async def __call__(self, delivery: Delivery) -> Outcome:
        limit = asyncio.timeout(self.seconds)
        try:
            async with limit:
                return await self.handler(delivery)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlineExceeded(self.seconds) from error


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter within one delivery, for transient failures of the fleet service.

    All attempts together take at most about `total_seconds`, since the message occupies one of the worker's slots;
    longer waits use the broker's delayed queues.
    """

    handler: Handler
    attempts: int = 3
    total_seconds: float = 1.0

    async def __call__(self, delivery: Delivery) -> Outcome:
        began = time.monotonic()
        try:
            return await self.handler(delivery)  # without stamina, which costs more than the other guards together
        except FleetUnavailable as error:
            left_seconds = began + self.total_seconds - time.monotonic()
            if not _is_transient(error) or left_seconds <= 0:
                raise
            return await self._retry(delivery, error, left_seconds)

    async def _retry(self, delivery: Delivery, first: FleetUnavailable, left_seconds: float) -> Outcome:
        """The remaining attempts, within `left_seconds`; the first failure counts as one."""
        attempts = stamina.retry_context(
            on=_is_transient,
            attempts=self.attempts,
            timeout=left_seconds,
            wait_initial=0.05,
            wait_max=0.4,
            wait_jitter=0.05,
        )
        async for attempt in attempts:
            with attempt:
                if attempt.num == 1:
                    raise first
                return await self.handler(delivery)
        raise AssertionError("unreachable: the last attempt returns or raises")


def _is_transient(error: Exception) -> bool:
    """Whether an immediate retry can succeed; not while the breaker is open."""
    return isinstance(error, FleetUnavailable) and not isinstance(error, FleetBreakerOpen)
