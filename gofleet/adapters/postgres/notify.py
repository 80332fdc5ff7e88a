"""NOTIFY for new events in the outbox, sent beside the commits of orders instead of inside them.

NOTIFY takes a lock of the whole server at commit, which would serialise all commits. So a separate statement notifies
for all the commits of a short interval. A notification may be lost: relays poll too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import psycopg
from loguru import logger
from psycopg.errors import ReadOnlySqlTransaction

from gofleet.adapters.postgres.pool import READ_ONLY, Connection, Pool, acquire
from gofleet.adapters.supervision import jittered
from gofleet.domain.errors import Unavailable
from gofleet.waiting import first_of, sleep_unless

CHANNEL = "gofleet_outbox"
BURST_MIN = 6  # requests during one pause from which on the next pause is longer
NOTIFY = "select set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"
"""NOTIFY is delivered at commit, and a commit waits for the disk; a notification needs no durability. The payload is
the age in ms of the newest commit that it announces."""


class OutboxNotifier:
    """Collects calls of `notify`, which cost nothing and never fail; `run` sends one NOTIFY for all of a pause.

    An event that a dispatch waits for is notified of at once if it is alone. During a burst the pause doubles from
    `pause_seconds` to `pause_seconds_max`, as each notification is a transaction and a batch for the relay. Other
    events wait `linger_seconds`: until then an urgent one has mostly taken them along, with no notification of theirs.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        linger_seconds: float = 0.04,
        pause_seconds: float = 0.002,
        pause_seconds_max: float = 0.04,
    ) -> None:
        self._pool = pool
        self._linger_seconds = linger_seconds
        self._pause_seconds = pause_seconds
        self._pause_seconds_max = pause_seconds_max
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._requests = 0
        self._committed_at = 0.0

    def notify(self, urgent: bool) -> None:
        """An event was committed. `urgent`: a dispatch waits for it."""
        self._requests += 1
        self._committed_at = monotonic()
        if urgent:
            self._due.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._linger_seconds, self._due.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Send notifications until `stop`, at most one in a pause."""
        pause = self._pause_seconds
        while not stop.is_set():
            await first_of(self._due, stop)
            if self._due.is_set():
                self._forget_requests()
                await self._notify()
                await sleep_unless(stop, pause)
                pause = 2 * pause if self._requests > BURST_MIN else pause / 2
                pause = min(max(pause, self._pause_seconds), self._pause_seconds_max)

    def _forget_requests(self) -> None:
        """Those until now are covered by the next NOTIFY."""
        self._due.clear()
        self._requests = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _notify(self) -> None:
        try:
            age_ms = int((monotonic() - self._committed_at) * 1000)
            async with acquire(self._pool) as connection:
                await connection.execute(NOTIFY, [CHANNEL, str(age_ms)], prepare=True)
        except Unavailable as error:
            logger.debug("outbox notification not sent: {}", error)  # the relays' poll will find the event


async def listen(conninfo: str, wake: Callable[[float], object], stop: asyncio.Event) -> None:
    """Call `wake` at each notification until `stop`, over a connection of its own that is reopened when it breaks.

    `wake` gets the number of seconds that the newest announced commit is old, at least.
    """
    pause = 0.2
    while not stop.is_set():
        try:
            async with await Connection.connect(conninfo, autocommit=True) as connection:
                await connection.execute(f"listen {CHANNEL}")
                wake(0.0)  # for notifications sent while this connection did not listen
                while not stop.is_set():
                    # Before each wait: a server that was demoted, or fell silent, would never notify.
                    await connection.execute("")
                    if connection.is_read_only:
                        raise ReadOnlySqlTransaction(READ_ONLY)
                    pause = 0.2
                    async for notification in connection.notifies(timeout=1.0):
                        wake(_age(notification.payload))
        except psycopg.Error as error:
            logger.debug("not listening for outbox notifications: {}", error)
            await sleep_unless(stop, jittered(pause))
            pause = min(pause * 2, 5.0)


def _age(payload: str) -> float:
    """Seconds; 0 without a payload, as the release before notifies, or with a foreign one."""
    return int(payload) / 1000 if payload.isascii() and payload.isdigit() and len(payload) < 10 else 0.0
