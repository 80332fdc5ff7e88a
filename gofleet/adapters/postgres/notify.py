"""NOTIFY for new events in the outbox, sent beside the commits of orders instead of inside them.

NOTIFY takes a lock of the whole server at commit, which would serialise all commits. So a separate statement notifies
for all the commits of a short interval. A notification may be lost: relays poll too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from loguru import logger
from psycopg.errors import ReadOnlySqlTransaction

from gofleet.adapters.postgres.pool import READ_ONLY, Connection, Pool, acquire
from gofleet.adapters.supervision import jittered
from gofleet.domain.errors import Unavailable
from gofleet.waiting import first_of, sleep_unless

CHANNEL = "gofleet_outbox"
BURST_MIN = 6  # requests during one pause from which on the next pause is longer
NOTIFY = "select set_config('synchronous_commit', 'off', true), pg_notify(%s, '')"
"""NOTIFY is delivered at commit, and a commit waits for the disk; a notification needs no durability."""


class OutboxNotifier:
    """Collects calls of `notify`, which cost nothing and never fail; `run` sends one NOTIFY for all of a pause.

    A single order is notified at once. During a burst the pause doubles from `pause_seconds` to `pause_seconds_max`, as
    each notification is a transaction and a batch for the relay.
    """

    def __init__(self, pool: Pool, pause_seconds: float = 0.002, pause_seconds_max: float = 0.04) -> None:
        self._pool = pool
        self._pause_seconds = pause_seconds
        self._pause_seconds_max = pause_seconds_max
        self._requested = asyncio.Event()
        self._requests = 0

    def notify(self) -> None:
        self._requests += 1
        self._requested.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send notifications until `stop`, at most one in a pause."""
        pause = self._pause_seconds
        while not stop.is_set():
            await first_of(self._requested, stop)
            if self._requested.is_set():
                self._requested.clear()
                self._requests = 0
                await self._notify()
                await sleep_unless(stop, pause)
                pause = 2 * pause if self._requests > BURST_MIN else pause / 2
                pause = min(max(pause, self._pause_seconds), self._pause_seconds_max)

    async def _notify(self) -> None:
        try:
            async with acquire(self._pool) as connection:
                await connection.execute(NOTIFY, [CHANNEL], prepare=True)
        except Unavailable as error:
            logger.debug("outbox notification not sent: {}", error)  # the relays' poll will find the event


async def listen(conninfo: str, wake: Callable[[], None], stop: asyncio.Event) -> None:
    """Call `wake` at each notification until `stop`, over a connection of its own that is reopened when it breaks."""
    pause = 0.2
    while not stop.is_set():
        try:
            async with await Connection.connect(conninfo, autocommit=True) as connection:
                await connection.execute(f"listen {CHANNEL}")
                wake()  # for notifications sent while this connection did not listen
                while not stop.is_set():
                    # Before each wait: a server that was demoted, or fell silent, would never notify.
                    await connection.execute("")
                    if connection.is_read_only:
                        raise ReadOnlySqlTransaction(READ_ONLY)
                    pause = 0.2
                    async for _ in connection.notifies(timeout=1.0):
                        wake()
        except psycopg.Error as error:
            logger.debug("not listening for outbox notifications: {}", error)
            await sleep_unless(stop, jittered(pause))
            pause = min(pause * 2, 5.0)
