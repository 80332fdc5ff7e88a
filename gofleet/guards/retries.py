"""Waits out an outage of something the handler needs, such as Redis or PostgreSQL.

The message stays with us, unacknowledged: with every place of the worker taken by a waiting message the broker sends
no more, which is a pause, not a storm of redeliveries.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from loguru import logger

from gofleet.domain.errors import Unavailable
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
