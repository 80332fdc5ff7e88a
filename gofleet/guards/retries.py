"""Waits out an outage of something the handler needs, such as Redis or PostgreSQL.

The message stays with us, unacknowledged: with every place of the worker taken by a waiting message the broker sends
no more, which is a pause, not a storm of redeliveries.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

import stamina
from loguru import logger

from gofleet.domain.errors import DeadlineExceeded, FleetBreakerOpen, FleetUnavailable, Unavailable
from gofleet.domain.messages import Delivery, Handler, Outcome, Retry

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0


@dataclass(frozen=True)
class Outage:
    """Holds a message for at most `hold_seconds`, or until `stopping`; then it goes back for later, uncounted."""

    handler: Handler
    stopping: asyncio.Event
    hold_seconds: float
    later_seconds: float = 5.0

    async def __call__(self, delivery: Delivery) -> Outcome:
        until, pause = time.monotonic() + self.hold_seconds, FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self.handler(delivery)
            except Unavailable as error:
                if self.stopping.is_set() or time.monotonic() + pause > until:
                    return Retry(self.later_seconds)
                logger.bind(queue=delivery.queue).warning("waiting, {}", error)
            await self._pause(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not a secret
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            pass


"""A hard limit on one try at handling a message, shorter than the lease that protects it."""


@dataclass(frozen=True)
class Deadline:
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


"""Exponential backoff with jitter, inside one delivery: for failures that a moment cures.

All tries together stay near a second, for while they last the message holds one of the worker's few places; longer
waits happen in the broker's delayed queues.
"""


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
