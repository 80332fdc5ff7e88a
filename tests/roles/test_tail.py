"""The end of the history as those who follow it get it from memory."""

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
"""So long nobody polls: what is found was told by the bell."""


@dataclass
class CountedHistory(MemoryHistory):
    """Counts how often it is read, holds back on demand, and may become another one."""

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
class Bell:
    """Rung by hand."""

    ring: Callable[[], None] = lambda: None
    listeners: int = 0

    async def __call__(self, wake: Callable[[], None], stop: asyncio.Event) -> None:
        self.ring, self.listeners = wake, self.listeners + 1
        try:
            await stop.wait()
        finally:
            self.listeners -= 1


@asynccontextmanager
async def following(tail: HistoryFeed) -> AsyncGenerator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(tail.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)


async def added(history: MemoryHistory, *names: str) -> None:
    for name in names:
        await history.orders.add(an_order(name))


async def told(tail: HistoryFeed, moment: HistoryCursor, seconds: float = 5.0) -> list[str]:
    return [entry.order_id for entry in (await tail.after(moment, ANYTHING, seconds)).entries]


async def test_the_bell_is_heard_only_while_somebody_reads() -> None:
    history, bell = CountedHistory(), Bell()
    tail = HistoryFeed(history, poll_seconds=NEVER, window=10, page=10, listen=bell)
    async with following(tail):
        assert bell.listeners == 0
        for _ in range(2):
            with tail.subscribed():
                await eventually(lambda: bell.listeners == 1)
            await eventually(lambda: bell.listeners == 0)


async def test_many_readers_are_one_reading() -> None:
    history, bell = CountedHistory(), Bell()
    tail = HistoryFeed(history, poll_seconds=NEVER, window=10, page=10, listen=bell)
    async with following(tail):
        with tail.subscribed():
            await eventually(lambda: history.reads)
            readers = [asyncio.create_task(told(tail, HistoryCursor(0, 0))) for _ in range(50)]
            await added(history, "o-1")
            bell.ring()

            assert await asyncio.gather(*readers) == [["o-1"]] * 50
            assert history.reads <= 3


async def test_who_is_further_back_than_memory_reaches_reads_the_history() -> None:
    history, bell = CountedHistory(), Bell()
    tail = HistoryFeed(history, poll_seconds=NEVER, window=3, page=4, listen=bell)
    names = [f"o-{number}" for number in range(10)]
    async with following(tail):
        with tail.subscribed():
            await eventually(lambda: history.reads)
            await added(history, *names)
            bell.ring()
            assert await told(tail, history.orders.log[-2].cursor) == ["o-9"]

            found, moment = list[str](), HistoryCursor(0, 0)
            while len(found) < len(names):
                read = await tail.after(moment, ANYTHING, 5)
                found += [entry.order_id for entry in read.entries]
                moment = read.until

    assert found == names


async def test_what_is_held_back_is_looked_for_again_soon() -> None:
    history, bell = CountedHistory(), Bell()
    tail = HistoryFeed(history, poll_seconds=NEVER, window=10, page=10, listen=bell)
    async with following(tail):
        with tail.subscribed():
            await eventually(lambda: history.reads)
            history.holding = True
            await added(history, "o-1")
            bell.ring()  # for the last time
            await eventually(lambda: history.reads > 3)
            history.holding = False

            assert await told(tail, HistoryCursor(0, 0)) == ["o-1"]


async def test_after_the_history_became_another_one_it_begins_anew() -> None:
    history, bell = CountedHistory(), Bell()
    tail = HistoryFeed(history, poll_seconds=NEVER, window=10, page=10, listen=bell)
    async with following(tail):
        with tail.subscribed():
            await eventually(lambda: history.reads)
            history.other = True
            bell.ring()
            await eventually(lambda: not history.other)
            now = await history.now()
            await added(history, "o-1")
            bell.ring()

            assert await told(tail, now) == ["o-1"]


async def test_waiting_ends_when_the_time_is_up_and_tells_how_far_was_looked() -> None:
    history, bell = CountedHistory(), Bell()
    tail = HistoryFeed(history, poll_seconds=NEVER, window=10, page=10, listen=bell)
    await added(history, "o-1", "o-2")
    async with following(tail):
        with tail.subscribed():
            found = await tail.after(HistoryCursor(0, 0), HistoryFilter(order_id="o-3"), 0.05)

    assert (found.entries, found.until) == ([], history.orders.log[-1].cursor)
