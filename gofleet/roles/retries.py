"""Periodic work that survives outages of the servers it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from loguru import logger

from gofleet.adapters.supervision import jittered
from gofleet.domain.errors import Unavailable
from gofleet.process import repeat
from gofleet.telemetry.metrics import BACKGROUND_ERRORS

PAUSE_SECONDS = 0.5
"""Mean pause after a failed attempt. Each new order wakes the relay, and without a pause would cause an attempt."""

T = TypeVar("T")
Act = Callable[[], Awaitable[int]]
"""Processes one batch and returns the number of processed items."""


def retry_on_outage(act: Callable[[], Awaitable[T]], name: str) -> Callable[[], Awaitable[T | None]]:
    """The act, returning None while a server it needs is unavailable."""
    unavailable = False

    async def attempt() -> T | None:
        nonlocal unavailable
        try:
            done = await act()
        except Unavailable as error:
            if not unavailable:
                logger.warning("{} waits: {}", name, error)
            unavailable = True
            await asyncio.sleep(jittered(PAUSE_SECONDS))
            return None
        if unavailable:
            logger.info("{} resumes", name)
        unavailable = False
        return done

    return attempt


def log_and_retry(act: Act, name: str) -> Act:
    """The act, returning 0 after an outage or an error, logged and counted: one order must not block others."""
    retrying, errors = retry_on_outage(act, name), BACKGROUND_ERRORS.labels(name)

    async def attempt() -> int:
        try:
            return await retrying() or 0
        except Exception:
            logger.exception("{} failed and will try again", name)
            errors.inc()
            return 0

    return attempt


@dataclass(frozen=True)
class Periodic:
    """Work for `Process.keeping`: calls `act` every `seconds`, and with `again` once more at once after any result but
    0. `on_error` decides which errors it survives."""

    name: str
    act: Act
    seconds: float
    on_error: Callable[[Act, str], Act] = log_and_retry
    again: bool = True

    async def __call__(self, stop: asyncio.Event) -> None:
        attempt = self.on_error(self.act, self.name)

        async def once() -> bool:
            return bool(await attempt()) and self.again

        await repeat(once, self.seconds, stop)
