"""Waiting for events: what ends a wait, and that no wait leaves a task behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from gofleet.adapters.postgres import notify
from gofleet.listening import free_port
from gofleet.parts import conninfo
from gofleet.settings import load
from gofleet.waiting import cancel_and_wait, first_of, sleep_unless
from tests.waiting import eventually

LONG = 3600.0


@asynccontextmanager
async def no_task_left() -> AsyncGenerator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() == before


async def test_first_of_returns_when_any_event_is_set() -> None:
    for set_first in (0, 1):
        events = [asyncio.Event(), asyncio.Event()]
        asyncio.get_running_loop().call_later(0.01, events[set_first].set)
        async with no_task_left():
            assert await first_of(*events, timeout=LONG)


async def test_first_of_returns_when_a_future_is_done_and_leaves_the_others_running() -> None:
    event = asyncio.Event()
    short, long = asyncio.create_task(asyncio.sleep(0.01)), asyncio.create_task(asyncio.sleep(LONG))
    assert await first_of(event, short, long)
    assert not long.done()
    assert asyncio.all_tasks() == {asyncio.current_task(), long}
    await cancel_and_wait(long)


async def test_first_of_does_not_raise_the_error_of_a_task() -> None:
    async def fail() -> None:
        raise ValueError

    task = asyncio.create_task(fail())
    assert await first_of(task, asyncio.Event())
    with pytest.raises(ValueError):
        await task


async def test_first_of_times_out() -> None:
    async with no_task_left():
        assert not await first_of(asyncio.Event(), asyncio.Event(), timeout=0.01)


async def test_first_of_yields_to_the_loop_when_an_event_is_set_already() -> None:
    event, ran = asyncio.Event(), asyncio.Event()
    event.set()
    asyncio.get_running_loop().call_soon(ran.set)
    async with no_task_left():
        assert await first_of(asyncio.Event(), event)
    assert ran.is_set()


async def test_cancelled_waits_leave_no_task_behind() -> None:
    event = asyncio.Event()
    async with no_task_left():
        for wait in (first_of(event, asyncio.Event(), timeout=LONG), sleep_unless(event, LONG)):
            waiting = asyncio.create_task(wait)
            await asyncio.sleep(0.01)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            assert waiting.cancelled()


async def test_sleep_unless_returns_at_once_when_the_event_is_set() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, event.set)
    began = time.monotonic()
    async with no_task_left():
        assert await sleep_unless(event, 5.0)
    assert time.monotonic() - began < 1.0


async def test_sleep_unless_sleeps_the_whole_time_otherwise() -> None:
    began = time.monotonic()
    async with no_task_left():
        assert not await sleep_unless(asyncio.Event(), 0.05)
    assert time.monotonic() - began >= 0.045


async def test_cancel_and_wait_waits_for_the_clean_up() -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await cancel_and_wait(task)
    assert steps == ["cleaned up"]
    await cancel_and_wait()


async def test_listening_to_an_unreachable_database_leaks_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """One task was left at each failed reconnect, for as long as PostgreSQL was unavailable."""
    pauses: list[float] = []

    def hardly(seconds: float) -> float:
        pauses.append(seconds)
        return 0.01

    monkeypatch.setattr(notify, "jittered", hardly)
    port = str(free_port("127.0.0.1", 23_400))
    unreachable = conninfo(load({"DB_HOST": "127.0.0.1", "DB_PORT": port}, dotenv=None))
    stop = asyncio.Event()
    listening = asyncio.create_task(notify.listen(unreachable, lambda _: None, stop))
    await eventually(lambda: len(pauses) >= 1)
    before = len(asyncio.all_tasks())
    await eventually(lambda: len(pauses) >= 6)
    assert len(asyncio.all_tasks()) <= before
    stop.set()
    await listening
