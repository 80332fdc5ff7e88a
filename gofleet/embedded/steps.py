"""Waiting, written once: a life cycle is a generator that yields while there is something to wait for.

A program without a loop drives it with `drive`, an asyncio program with `drive_async`; several
generators driven together advance in parallel, in one thread. Both close what they drive when they are
interrupted, so a generator's `finally` is the place to kill its servers.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import TypeAlias

Steps: TypeAlias = Generator[None, None, None]

PAUSE_SECONDS = 0.01


def drive(*steps: Steps) -> None:
    """Run all `steps` to their end, side by side, in this thread."""
    with _closed(*steps):
        while steps := _advanced(*steps):
            time.sleep(PAUSE_SECONDS)


async def drive_async(*steps: Steps) -> None:
    """Run all `steps` to their end, side by side, leaving the event loop free between them."""
    with _closed(*steps):
        while steps := _advanced(*steps):  # noqa: ASYNC110  processes and ports set no event
            await asyncio.sleep(PAUSE_SECONDS)


def drive_while(waiting: Callable[[], bool], steps: Steps) -> None:
    """Run `steps` while `waiting()`, and leave the rest of them to be driven later."""
    with _closed(steps) as closing:
        while waiting() and _advanced(steps):
            time.sleep(PAUSE_SECONDS)
        closing.pop_all()


def _closed(*steps: Steps) -> ExitStack:
    stack = ExitStack()
    for each in steps:
        stack.callback(each.close)
    return stack


def _advanced(*steps: Steps) -> tuple[Steps, ...]:
    """Take one step of each; answers those that are not at their end."""
    return tuple(each for each in steps if next(each, each) is None)
