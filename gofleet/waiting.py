"""Waiting for the first of several events, and for a pause that an event ends, without leaving a task behind."""

from __future__ import annotations

import asyncio
from typing import Any


async def first_of(*awaited: asyncio.Event | asyncio.Future[Any], timeout: float | None = None) -> bool:  # noqa: ASYNC109  as asyncio.wait
    """Wait until an event is set or a future is done: True; False when `timeout` seconds pass before.

    Futures and tasks passed in keep running; the caller reads their results. Control returns to the event loop at least
    once, so that a loop around an event that is already set does not block it.
    """
    if any(_is_over(each) for each in awaited):
        await asyncio.sleep(0)
        return True
    waiters = [asyncio.create_task(each.wait()) for each in awaited if isinstance(each, asyncio.Event)]
    futures = [each for each in awaited if not isinstance(each, asyncio.Event)]
    try:
        done, _ = await asyncio.wait([*waiters, *futures], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        await cancel_and_wait(*waiters)


async def sleep_unless(event: asyncio.Event, seconds: float) -> bool:
    """Sleep for `seconds`: False; True as soon as the event is set."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def cancel_and_wait(*tasks: asyncio.Future[Any]) -> None:
    """Cancel the tasks and wait until all of them have ended; their errors are not raised."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _is_over(awaited: asyncio.Event | asyncio.Future[Any]) -> bool:
    return awaited.is_set() if isinstance(awaited, asyncio.Event) else awaited.done()
