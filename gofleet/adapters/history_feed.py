"""Feed of new history entries, read once for all subscribers of a process, and only while there are any."""

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
"""Minimum pause between two reads, and the first pause while entries are held back."""
RETRY_DELAY_SECONDS = 0.5
"""Average pause between two attempts while PostgreSQL is unavailable."""

Listen = Callable[[Callable[[], None], asyncio.Event], Awaitable[None]]
"""Calls the function whenever entries may have been added, until the event is set; it may miss some."""


@dataclass(frozen=True)
class FeedPage:
    """Matching entries, complete up to the cursor `until`."""

    entries: Sequence[HistoryEntry]
    until: HistoryCursor


class HistoryFeed:
    """Keeps the newest `window` entries in memory for subscribers, which need no queue of their own.

    A subscriber reads after its cursor: from memory, or from the history itself if the cursor is older than the window.
    `run` must be running. `page` is the number of entries per read, `poll_seconds` the interval of reads without a
    notification.
    """

    def __init__(
        self, history: History, *, poll_seconds: float, window: int, page: int, listen: Listen | None = None
    ) -> None:
        self._history = history
        self._poll_seconds = poll_seconds
        self._window = window
        self._page = page
        self._listen = listen
        self._readers = 0
        self._wanted, self._woken, self._changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._entries: list[HistoryEntry] = []
        self._from: HistoryCursor | None = (
            None  # None = nothing is cached; else _entries are all entries between the two
        )
        self._until: HistoryCursor | None = None

    @contextmanager
    def subscribed(self) -> Generator[None]:
        """Count a subscriber for the block."""
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
        """The next matching entries after `cursor` as soon as there are any; none after `seconds`. `UnknownCursor`.

        An outage of the database only delays them.
        """
        until = asyncio.get_running_loop().time() + seconds
        while True:
            changed = self._changed
            known = self._from_memory(cursor, criteria)
            result, more = known or await self._from_history(cursor, criteria)
            cursor = result.until
            left = until - asyncio.get_running_loop().time()
            if result.entries or left <= 0:
                return result
            if not more:
                await sleep_unless(changed, left if known else min(left, self._poll_seconds))

    async def run(self, stop: asyncio.Event) -> None:
        """Read new entries until `stop`, while there are subscribers."""
        while not stop.is_set():
            await first_of(stop, self._wanted)
            try:
                async with self._listening():
                    await self._read_all(stop)
            finally:
                self._clear()

    def _from_memory(self, cursor: HistoryCursor, criteria: HistoryFilter) -> tuple[FeedPage, bool] | None:
        """Entries from memory and whether there are more; None if `cursor` is older than the window."""
        if self._from is None or self._until is None or cursor < self._from:
            return None
        first = bisect_right(self._entries, cursor, key=lambda entry: entry.cursor)
        seen = self._entries[first : first + self._page]
        more = first + len(seen) < len(self._entries)
        until = seen[-1].cursor if more else max(cursor, self._until)
        return FeedPage([entry for entry in seen if criteria.matches(entry)], until), more

    async def _from_history(self, cursor: HistoryCursor, criteria: HistoryFilter) -> tuple[FeedPage, bool]:
        try:
            page = await self._history.after(cursor, criteria, self._page)
        except Unavailable:
            await asyncio.sleep(jittered(RETRY_DELAY_SECONDS))
            return FeedPage([], cursor), False
        return FeedPage(page.entries, page.until), page.more

    async def _read_all(self, stop: asyncio.Event) -> None:
        pause, unavailable = PAUSE_SECONDS_MIN, False
        while self._wanted.is_set() and not stop.is_set():
            self._woken.clear()
            try:
                more, held_back = await self._read()
            except Unavailable as error:
                if not unavailable:
                    logger.warning("history feed waiting: {}", error)
                unavailable = True
                await sleep_unless(stop, jittered(RETRY_DELAY_SECONDS))
                continue
            if unavailable:
                logger.info("history feed resumed")
            unavailable = False
            if more:
                continue
            await sleep_unless(stop, PAUSE_SECONDS_MIN)
            # Held-back entries appear when an older transaction ends, which sends no notification.
            pause = min(pause * 2, self._poll_seconds) if held_back else PAUSE_SECONDS_MIN
            await first_of(stop, self._woken, timeout=pause if held_back else self._poll_seconds)

    async def _read(self) -> tuple[bool, bool]:
        """Read one page; whether there are more entries, and whether entries are held back."""
        first = self._until is None
        if self._until is None:
            self._from = self._until = await self._history.now()
        try:
            page = await self._history.after(self._until, EVERYTHING, self._page)
        except UnknownCursor:
            logger.warning("the history is a different one: the feed starts anew")
            self._clear()
            return True, False
        self._entries += page.entries
        if (surplus := len(self._entries) - self._window) > 0:
            self._from = self._entries[surplus - 1].cursor
            del self._entries[:surplus]
        self._until = page.until
        if first or page.entries:
            self._notify()
        return page.more, page.held_back

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _clear(self) -> None:
        """Drop the cache: without subscribers it is not updated."""
        self._entries.clear()
        self._from = self._until = None
        self._notify()

    @asynccontextmanager
    async def _listening(self) -> AsyncGenerator[None]:
        if self._listen is None:
            yield
            return
        stop = asyncio.Event()
        listening = asyncio.create_task(_listen_safely(self._listen, self._woken.set, stop))
        try:
            yield
        finally:
            stop.set()
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


async def _listen_safely(listen: Listen, wake: Callable[[], None], stop: asyncio.Event) -> None:
    try:
        await listen(wake, stop)
    except Exception:  # polling still finds new entries
        logger.exception("listening for notifications failed")
