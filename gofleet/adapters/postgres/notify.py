"""Wakes the relays when the outbox got something, without a NOTIFY inside the orders' own commits.

NOTIFY takes a lock of the whole server at commit, which would make all commits queue up. So the bell is rung
beside them, by one statement for however many commits a short while brought, and it may be missed: relays poll too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from loguru import logger
from psycopg import AsyncConnection

from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.adapters.supervision import jittered
from gofleet.domain.errors import Unavailable
from gofleet.waiting import first_of, sleep_unless

CHANNEL = "gofleet_outbox"
BURST_MIN = 6
"""Rings that are still told of soon."""
NOTIFY = "select set_config('synchronous_commit', 'off', true), pg_notify(%s, '')"
"""NOTIFY alone waits for the disk, as any transaction, before anybody hears of it; what it says is not worth that."""


class OutboxNotifier:
    """`ring` costs nothing and never fails; `ringing` must be running for it to be heard elsewhere.

    A lone order is told of at once. While more than a few are told of together it waits longer and longer, between
    `pause_seconds` and `most_seconds`: each ring is a transaction, and a batch for the relay.
    """

    def __init__(self, pool: Pool, pause_seconds: float = 0.002, most_seconds: float = 0.04) -> None:
        self._pool = pool
        self._pause_seconds = pause_seconds
        self._most_seconds = most_seconds
        self._rung = asyncio.Event()
        self._rings = 0

    def notify(self) -> None:
        self._rings += 1
        self._rung.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Pass on each ring until `stop`; at most one statement in a pause."""
        pause = self._pause_seconds
        while not stop.is_set():
            await first_of(self._rung, stop)
            if self._rung.is_set():
                self._rung.clear()
                self._rings = 0
                await self._notify()
                await sleep_unless(stop, pause)
                longer = 2 * pause if self._rings > BURST_MIN else pause / 2
                pause = min(max(longer, self._pause_seconds), self._most_seconds)

    async def _notify(self) -> None:
        try:
            async with acquire(self._pool) as link:
                await link.execute(NOTIFY, [CHANNEL], prepare=True)
        except Unavailable as error:
            logger.debug("outbox bell not rung: {}", error)  # the relays' poll will find the event


async def listen(conninfo: str, wake: Callable[[], None], stop: asyncio.Event) -> None:
    """Call `wake` at each ring until `stop`, over a connection of its own that is opened again when it dies."""
    pause = 0.2
    while not stop.is_set():
        try:
            async with await AsyncConnection.connect(conninfo, autocommit=True) as link:
                await link.execute(f"listen {CHANNEL}")
                wake()  # whatever was rung while nobody listened
                pause = 0.2
                while not stop.is_set():
                    async for _ in link.notifies(timeout=1.0):
                        wake()
        except psycopg.Error as error:
            logger.debug("outbox bell not heard: {}", error)
            await sleep_unless(stop, jittered(pause))
            pause = min(pause * 2, 5.0)
