"""Relay loop: which loop a notification wakes, and when one continues without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gofleet.roles.relay_loop import WakeUp, relay_loop
from gofleet.usecases.relay import Relayed
from tests.waiting import eventually

FULL = 10
NEVER = 3600.0


@dataclass
class Batches:
    """Batches that the loops have started; each ends when the test finishes it with a number of events."""

    wake_up: WakeUp = field(default_factory=WakeUp)
    started: list[asyncio.Future[Relayed]] = field(default_factory=list[asyncio.Future[Relayed]])

    async def __call__(self) -> Relayed:
        published: asyncio.Future[Relayed] = asyncio.get_running_loop().create_future()
        self.started.append(published)
        return await published

    @property
    def in_flight(self) -> int:
        return sum(not batch.done() for batch in self.started)

    def finish(self, published: int, *, more: bool = False) -> None:
        """End the oldest batch in flight."""
        next(batch for batch in self.started if not batch.done()).set_result(Relayed(published, more))

    async def settled(self) -> None:
        """Every loop has done what it could."""
        for _ in range(20):
            await asyncio.sleep(0)


@asynccontextmanager
async def running(loops: int, poll_seconds: float = NEVER) -> AsyncGenerator[Batches]:
    """Relay loops whose first batch was empty, and which wait."""
    batches, stop = Batches(), asyncio.Event()
    tasks = [asyncio.create_task(relay_loop(batches, batches.wake_up, poll_seconds, stop)) for _ in range(loops)]
    await batches.settled()
    assert batches.in_flight == loops  # events may have been saved before the first notification
    for _ in range(loops):
        batches.finish(0)
    await batches.settled()
    if poll_seconds == NEVER:
        assert batches.in_flight == 0
    yield batches
    stop.set()
    for batch in batches.started:
        if not batch.done():
            batch.set_result(Relayed())
    await asyncio.wait_for(asyncio.gather(*tasks), 5)


async def test_each_notification_wakes_one_loop() -> None:
    async with running(2) as batches:
        batches.wake_up.notify()
        await batches.settled()
        assert batches.in_flight == 1
        batches.wake_up.notify()
        await batches.settled()
        assert batches.in_flight == 2


async def test_a_notification_while_all_are_busy_wakes_the_first_that_finishes() -> None:
    async with running(1) as batches:
        batches.wake_up.notify()
        await batches.settled()
        batches.wake_up.notify()
        batches.wake_up.notify()
        await batches.settled()
        assert batches.in_flight == 1
        batches.finish(0)
        await batches.settled()
        assert batches.in_flight == 1
        batches.finish(0)
        await batches.settled()
        assert batches.in_flight == 0  # notifications do not add up


async def test_after_a_small_batch_a_loop_continues_only_if_it_was_notified_meanwhile() -> None:
    """A later event of an order in its batch could not be claimed by the loop that the notification woke."""
    async with running(2) as batches:
        batches.wake_up.notify()
        await batches.settled()
        batches.finish(1)
        await batches.settled()
        assert batches.in_flight == 0

        batches.wake_up.notify()
        await batches.settled()
        batches.wake_up.notify()
        await batches.settled()
        batches.finish(1)
        await batches.settled()
        assert batches.in_flight == 2


async def test_a_backlog_is_published_without_notifications() -> None:
    async with running(1) as batches:
        batches.wake_up.notify()
        for _ in range(3):
            await batches.settled()
            batches.finish(FULL, more=True)
        await batches.settled()
        assert batches.in_flight == 1
        batches.finish(1)
        await batches.settled()
        assert batches.in_flight == 0


async def test_without_notifications_a_loop_polls() -> None:
    async with running(1, poll_seconds=0.01) as batches:
        before = len(batches.started)

        def polled() -> bool:
            if batches.in_flight:
                batches.finish(0)
            return len(batches.started) > before + 3

        await eventually(polled)


async def test_a_notification_of_commits_before_the_last_claim_wakes_no_loop() -> None:
    async with running(1) as batches:
        batches.wake_up.notify()
        await batches.settled()
        assert batches.in_flight == 1  # a claim that begins now sees every commit until now
        batches.finish(1)
        await batches.settled()

        batches.wake_up.notify(age_seconds=60.0)
        await batches.settled()
        assert batches.in_flight == 0

        batches.wake_up.notify(age_seconds=0.0)
        await batches.settled()
        assert batches.in_flight == 1


async def test_a_notification_of_a_commit_since_the_last_claim_wakes_a_loop() -> None:
    async with running(1) as batches:
        await asyncio.sleep(0.02)  # the commit must be younger than the first claim
        batches.wake_up.notify(age_seconds=0.01)
        await batches.settled()
        assert batches.in_flight == 1
