"""The lanes of a relay: who is woken, and who looks again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gofleet.roles.relay_loop import WakeUp, relay_loop
from tests.waiting import eventually

FULL = 10
LONG = 3600.0


@dataclass
class Shop:
    """Batches that lanes ask for; each ends when told how much it was."""

    bell: WakeUp = field(default_factory=WakeUp)
    asked: list[asyncio.Future[int]] = field(default_factory=list[asyncio.Future[int]])

    async def __call__(self) -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        return await answer

    @property
    def busy(self) -> int:
        return sum(not answer.done() for answer in self.asked)

    def give(self, count: int) -> None:
        """To the lane that has waited longest."""
        next(answer for answer in self.asked if not answer.done()).set_result(count)

    async def settled(self) -> None:
        """Everybody has done what there was to do."""
        for _ in range(20):
            await asyncio.sleep(0)


@asynccontextmanager
async def open_shop(lanes: int, poll_seconds: float = LONG) -> AsyncGenerator[Shop]:
    """With so many lanes, all of which have found nothing and wait."""
    shop, stop = Shop(), asyncio.Event()
    running = [asyncio.create_task(relay_loop(shop, FULL, shop.bell, poll_seconds, stop)) for _ in range(lanes)]
    await shop.settled()
    assert shop.busy == lanes  # whatever was there before anybody rang
    for _ in range(lanes):
        shop.give(0)
    await shop.settled()
    if poll_seconds == LONG:
        assert shop.busy == 0
    yield shop
    stop.set()
    for answer in shop.asked:
        if not answer.done():
            answer.set_result(0)
    await asyncio.wait_for(asyncio.gather(*running), 5)


async def test_a_ring_wakes_one_lane_and_the_next_ring_another() -> None:
    async with open_shop(2) as shop:
        shop.bell.notify()
        await shop.settled()
        assert shop.busy == 1
        shop.bell.notify()
        await shop.settled()
        assert shop.busy == 2


async def test_a_ring_while_all_are_busy_is_heard_by_the_first_who_has_done() -> None:
    async with open_shop(1) as shop:
        shop.bell.notify()
        await shop.settled()
        shop.bell.notify()
        shop.bell.notify()
        await shop.settled()
        assert shop.busy == 1
        shop.give(0)
        await shop.settled()
        assert shop.busy == 1
        shop.give(0)
        await shop.settled()
        assert shop.busy == 0  # rings do not add up


async def test_who_published_little_looks_again_only_if_it_was_rung_meanwhile() -> None:
    """For a later event of what it had in hand, which the lane that heard the ring could not take."""
    async with open_shop(2) as shop:
        shop.bell.notify()
        await shop.settled()
        shop.give(1)
        await shop.settled()
        assert shop.busy == 0

        shop.bell.notify()
        await shop.settled()
        shop.bell.notify()
        await shop.settled()
        shop.give(1)
        await shop.settled()
        assert shop.busy == 2


async def test_a_backlog_is_gone_on_with_unasked() -> None:
    async with open_shop(1) as shop:
        shop.bell.notify()
        for taken in (FULL, FULL - 1, FULL // 2):  # the broker may have refused some
            await shop.settled()
            shop.give(taken)
        await shop.settled()
        assert shop.busy == 1
        shop.give(FULL // 2 - 1)
        await shop.settled()
        assert shop.busy == 0


async def test_without_a_bell_they_look_now_and_then() -> None:
    async with open_shop(1, poll_seconds=0.01) as shop:
        before = len(shop.asked)

        def gave() -> bool:
            if shop.busy:
                shop.give(0)
            return len(shop.asked) > before + 3

        looked: Callable[[], bool] = gave
        await eventually(looked)
