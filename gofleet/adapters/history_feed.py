"""The end of the history, read once for all who follow it in this process, and only while anybody does."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from loguru import logger

from gofleet.adapters.supervision import jittered
from gofleet.domain.errors import Unavailable, UnknownCursor
from gofleet.domain.history import HistoryCursor, HistoryEntry, HistoryFilter
from gofleet.ports import History
from gofleet.waiting import first_of, sleep_unless

EVERYTHING = HistoryFilter()
PAUSE_SECONDS_MIN = 0.02
"""Between two readings however often the bell rings; and after the first that found something held back."""
RETRY_DELAY_SECONDS = 0.5
"""On average, between two tries while PostgreSQL is away."""

Listen = Callable[[Callable[[], None], asyncio.Event], Awaitable[None]]
"""Calls the function whenever there may be something new, until the event is set; it may miss some."""


@dataclass(frozen=True)
class FeedPage:
    """What a reader gets: wanted entries, and the moment up to which there are no others."""

    entries: Sequence[HistoryEntry]
    until: HistoryCursor


class HistoryFeed:
    """Keeps the newest `window` entries. Whoever follows them needs no queue: they say how far they are, and are told
    what is behind that; from memory, or, when they are further back than the window, from the history itself.

    `following` must be running. `page` is how many entries are read and given at once, `poll_seconds` how often to look
    when no bell rings.
    """

    def __init__(
        self, history: History, *, poll_seconds: float, window: int, page: int, listen: Listen | None = None
    ) -> None:
        self._history = history
        self._poll_seconds = poll_seconds
        self._window = window
        self._page = page
        self._bell = listen
        self._readers = 0
        self._wanted, self._woken, self._changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._entries: list[HistoryEntry] = []
        self._from: HistoryCursor | None = None  # None = nothing is known; else _entries are all between these two
        self._until: HistoryCursor | None = None

    @contextmanager
    def subscribed(self) -> Generator[None]:
        """Somebody follows the history within the block."""
        self._readers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._wanted.clear()
                self._woken.set()

    async def after(self, cursor: HistoryCursor, criteria: HistoryFilter, seconds: float) -> FeedPage:
        """The next wanted entries behind `moment`, as soon as there are any; none when `seconds` are over.
        An outage only delays. `UnknownCursor`."""
        until = asyncio.get_running_loop().time() + seconds
        while True:
            changed = self._changed
            known = self._known(cursor, criteria)
            found, more = known or await self._past(cursor, criteria)
            cursor = found.until
            left = until - asyncio.get_running_loop().time()
            if found.entries or left <= 0:
                return found
            if not more:
                await sleep_unless(changed, left if known else min(left, self._poll_seconds))

    async def run(self, stop: asyncio.Event) -> None:
        """Read what is new until `stop`, while anybody wants it."""
        while not stop.is_set():
            await first_of(stop, self._wanted)
            async with self._listening():
                await self._read_on(stop)
            self._forget()

    def _known(self, cursor: HistoryCursor, criteria: HistoryFilter) -> tuple[FeedPage, bool] | None:
        """From memory, and whether there is more; None if it does not reach so far back."""
        if self._from is None or self._until is None or cursor < self._from:
            return None
        first = bisect_right(self._entries, cursor, key=lambda entry: entry.cursor)
        seen = self._entries[first : first + self._page]
        more = first + len(seen) < len(self._entries)
        until = seen[-1].cursor if more else max(cursor, self._until)
        return FeedPage([entry for entry in seen if criteria.matches(entry)], until), more

    async def _past(self, cursor: HistoryCursor, criteria: HistoryFilter) -> tuple[FeedPage, bool]:
        try:
            page = await self._history.after(cursor, criteria, self._page)
        except Unavailable:
            await asyncio.sleep(jittered(RETRY_DELAY_SECONDS))
            return FeedPage([], cursor), False
        return FeedPage(page.entries, page.until), page.more

    async def _read_on(self, stop: asyncio.Event) -> None:
        pause, away = PAUSE_SECONDS_MIN, False
        while self._wanted.is_set() and not stop.is_set():
            self._woken.clear()
            try:
                more, held_back = await self._read()
            except Unavailable as error:
                if not away:
                    logger.warning("the tail of the history waits: {}", error)
                away = True
                await sleep_unless(stop, jittered(RETRY_DELAY_SECONDS))
                continue
            if away:
                logger.info("the tail of the history goes on")
            away = False
            if more:
                continue
            await sleep_unless(stop, PAUSE_SECONDS_MIN)
            # What is held back comes when somebody else's transaction ends, and nobody rings a bell for that.
            pause = min(pause * 2, self._poll_seconds) if held_back else PAUSE_SECONDS_MIN
            await first_of(stop, self._woken, timeout=pause if held_back else self._poll_seconds)

    async def _read(self) -> tuple[bool, bool]:
        """Whether there is more, and whether something is held back."""
        began = self._until is None
        if self._until is None:
            self._from = self._until = await self._history.now()
        try:
            page = await self._history.after(self._until, EVERYTHING, self._page)
        except UnknownCursor:
            logger.warning("the history is another one than before: the tail begins anew")
            self._forget()
            return True, False
        self._entries += page.entries
        if (surplus := len(self._entries) - self._window) > 0:
            self._from = self._entries[surplus - 1].cursor
            del self._entries[:surplus]
        self._until = page.until
        if began or page.entries:
            self._tell()
        return page.more, page.held_back

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _forget(self) -> None:
        """Nobody will have read on when somebody wants it again, perhaps hours later."""
        self._entries.clear()
        self._from = self._until = None
        self._tell()

    @asynccontextmanager
    async def _listening(self) -> AsyncGenerator[None]:
        if self._bell is None:
            yield
            return
        stop = asyncio.Event()
        hearing = asyncio.create_task(_ears(self._bell, self._woken.set, stop))
        try:
            yield
        finally:
            stop.set()
            hearing.cancel()
            with suppress(asyncio.CancelledError):
                await hearing


async def _ears(bell: Listen, wake: Callable[[], None], stop: asyncio.Event) -> None:
    try:
        await bell(wake, stop)
    except Exception:  # whatever it is, polling finds what is new
        logger.exception("the bell is not heard")
