"""Silence of a server: after an unanswered statement a process sends no others until a write is answered again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import psycopg
from loguru import logger

from gofleet.adapters.supervision import jittered
from gofleet.domain.errors import Unavailable
from gofleet.waiting import cancel_and_wait, sleep_unless

PROBE_PAUSE_SECONDS = 0.5
UNANSWERED = "it does not answer"


class Silence:
    """Begins when a connection is shut down without an answer, and ends when `probe` returns, called again and again;
    `renew` then replaces all connections, which may lead to another server than their address does now.

    The server's side of such a connection lives on: a backend that waits for its synchronous standby or for its disk
    notices neither the closed socket nor `statement_timeout`. If the pool replaced the connection, each
    `answer_seconds` would leave another pool's worth of backends, until PostgreSQL had room for no session.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], renew: Callable[[], Awaitable[None]]) -> None:
        self._probe = probe
        self._renew = renew
        self._ended_at = 0.0
        self._probing: asyncio.Task[None] | None = None
        self._answering = asyncio.Event()
        self._answering.set()
        self._closed = False

    def begin(self, opened_at: float) -> None:
        """Called when a statement was not answered in time, on a connection that was opened at `opened_at`."""
        if self.is_over and opened_at > self._ended_at and not self._closed:
            self._answering.clear()
            logger.warning("PostgreSQL does not answer: waiting until it answers a write")
            self._probing = asyncio.create_task(self._probe_until_answered())

    @property
    def is_over(self) -> bool:
        return self._answering.is_set()

    def check(self) -> None:
        """`Unavailable` during the silence."""
        if not self.is_over:
            raise Unavailable("PostgreSQL", UNANSWERED)

    async def until_ended(self, seconds: float) -> None:
        """Wait for the end of the silence; `Unavailable` if it lasts longer than `seconds`."""
        if not self.is_over and not await sleep_unless(self._answering, seconds):
            self.check()

    async def close(self) -> None:
        """End the probing; a later silence is not noticed."""
        self._closed = True
        if self._probing is not None:
            await cancel_and_wait(self._probing)

    async def _probe_until_answered(self) -> None:
        while not await self._is_answered():
            await sleep_unless(self._answering, jittered(PROBE_PAUSE_SECONDS))
        self._ended_at = monotonic()
        self._answering.set()
        logger.info("PostgreSQL answers again")
        await self._renew()

    async def _is_answered(self) -> bool:
        try:
            await self._probe()
        except psycopg.Error as error:
            return error.sqlstate is not None  # refusing the write, as a standby does, is an answer too
        except TimeoutError:
            return False
        except Exception:  # probing must not end: without it the pool would lend no connection again
            logger.exception("the probe of PostgreSQL failed")
            return False
        return True
