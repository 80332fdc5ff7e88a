"""History feed: what subscribers read from memory, and when the history itself is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gofleet.adapters.history_feed import HistoryFeed
from gofleet.domain.errors import UnknownCursor
from gofleet.domain.history import HistoryCursor, HistoryFilter, HistoryPage
from gofleet.testing.orders import MemoryHistory, MemoryOrders
from tests.makers import an_order
from tests.waiting import eventually

ANYTHING = HistoryFilter()
NEVER = 60.0
"""Too long for a poll during a test: every read follows a notification."""


@dataclass
class CountedHistory(MemoryHistory):
    """Counts its reads; holds entries back or refuses one cursor on demand."""

    orders: MemoryOrders = field(default_factory=MemoryOrders)
    reads: int = 0
    holding: bool = False
    other: bool = False

    async def after(self, cursor: HistoryCursor, criteria: HistoryFilter, limit: int) -> HistoryPage:
        self.reads += 1
        if self.other:
            self.other = False
            raise UnknownCursor
        if self.holding:
            return HistoryPage([], cursor, more=False, held_back=True)
        return await super().after(cursor, criteria, limit)


@dataclass
class Notifications:
    """Notifications that a test sends itself."""

    notify: Callable[[], None] = lambda: None
    listeners: int = 0

    async def __call__(self, wake: Callable[[], None], stop: asyncio.Event) -> None:
        self.notify, self.listeners = wake, self.listeners + 1
        try:
            await stop.wait()
        finally:
            self.listeners -= 1


@asynccontextmanager
async def running(feed: HistoryFeed) -> AsyncGenerator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(feed.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)


async def added(history: MemoryHistory, *names: str) -> None:
    for name in names:
        await history.orders.add(an_order(name))


async def order_ids(feed: HistoryFeed, cursor: HistoryCursor, seconds: float = 5.0) -> list[str]:
    return [entry.order_id for entry in (await feed.after(cursor, ANYTHING, seconds)).entries]


async def test_listens_only_while_there_are_subscribers() -> None:
    history, notifications = CountedHistory(), Notifications()
    feed = HistoryFeed(history, poll_seconds=NEVER, window=10, page=10, listen=notifications)
    async with running(feed):
        assert notifications.listeners == 0
        for _ in range(2):
            with feed.subscribed():
                await eventually(lambda: notifications.listeners == 1)
            await eventually(lambda: notifications.listeners == 0)


async def test_many_subscribers_share_the_reads() -> None:
    history, notifications = CountedHistory(), Notifications()
    feed = HistoryFeed(history, poll_seconds=NEVER, window=10, page=10, listen=notifications)
    async with running(feed):
        with feed.subscribed():
            await eventually(lambda: history.reads)
            readers = [asyncio.create_task(order_ids(feed, HistoryCursor(0, 0))) for _ in range(50)]
            await added(history, "o-1")
            notifications.notify()

            assert await asyncio.gather(*readers) == [["o-1"]] * 50
            assert history.reads <= 3


async def test_a_cursor_before_the_window_reads_the_history() -> None:
    history, notifications = CountedHistory(), Notifications()
    feed = HistoryFeed(history, poll_seconds=NEVER, window=3, page=4, listen=notifications)
    names = [f"o-{number}" for number in range(10)]
    async with running(feed):
        with feed.subscribed():
            await eventually(lambda: history.reads)
            await added(history, *names)
            notifications.notify()
            assert await order_ids(feed, history.orders.log[-2].cursor) == ["o-9"]

            found, cursor = list[str](), HistoryCursor(0, 0)
            while len(found) < len(names):
                read = await feed.after(cursor, ANYTHING, 5)
                found += [entry.order_id for entry in read.entries]
                cursor = read.until

    assert found == names


async def test_entries_held_back_are_read_again_soon() -> None:
    history, notifications = CountedHistory(), Notifications()
    feed = HistoryFeed(history, poll_seconds=NEVER, window=10, page=10, listen=notifications)
    async with running(feed):
        with feed.subscribed():
            await eventually(lambda: history.reads)
            history.holding = True
            await added(history, "o-1")
            notifications.notify()  # the last notification
            await eventually(lambda: history.reads > 3)
            history.holding = False

            assert await order_ids(feed, HistoryCursor(0, 0)) == ["o-1"]


async def test_starts_again_after_the_history_was_replaced() -> None:
    history, notifications = CountedHistory(), Notifications()
    feed = HistoryFeed(history, poll_seconds=NEVER, window=10, page=10, listen=notifications)
    async with running(feed):
        with feed.subscribed():
            await eventually(lambda: history.reads)
            history.other = True
            notifications.notify()
            await eventually(lambda: not history.other)
            now = await history.now()
            await added(history, "o-1")
            notifications.notify()

            assert await order_ids(feed, now) == ["o-1"]


async def test_a_timeout_returns_the_cursor_up_to_which_was_read() -> None:
    history, notifications = CountedHistory(), Notifications()
    feed = HistoryFeed(history, poll_seconds=NEVER, window=10, page=10, listen=notifications)
    await added(history, "o-1", "o-2")
    async with running(feed):
        with feed.subscribed():
            found = await feed.after(HistoryCursor(0, 0), HistoryFilter(frozenset({"o-3"})), 0.05)

    assert (found.entries, found.until) == ([], history.orders.log[-1].cursor)
