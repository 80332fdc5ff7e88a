"""What a role does again and again must outlive what it needs being away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger

from gofleet.adapters.supervision import jittered
from gofleet.domain.errors import Unavailable

REST_SECONDS = 0.5
"""On average. New orders ring the bell all the while; without a rest each ring would be a try."""

Act = Callable[[], Awaitable[int]]


def retry_on_outage(act: Act, name: str) -> Act:
    """The act, answering 0 while what it needs is away: an outage only delays."""
    away = False

    async def tried() -> int:
        nonlocal away
        try:
            done = await act()
        except Unavailable as error:
            if not away:
                logger.warning("{} waits: {}", name, error)
            away = True
            await asyncio.sleep(jittered(REST_SECONDS))
            return 0
        if away:
            logger.info("{} goes on", name)
        away = False
        return done

    return tried


def log_and_retry(act: Act, name: str, *, again: bool = True) -> Act:
    """The act, outliving outages and its own failures, which are logged: one order that nobody foresaw must not keep
    all others from being looked after. With `again` it says how much was done, else 0: not to be repeated at once."""
    patient = retry_on_outage(act, name)

    async def tried() -> int:
        try:
            done = await patient()
        except Exception:
            logger.exception("{} failed and will try again", name)
            return 0
        return done if again else 0

    return tried
