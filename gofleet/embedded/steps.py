"""Cooperative life cycles that run with or without an event loop.

A life cycle is a generator that yields while it waits. `drive` runs generators in a synchronous program, `drive_async`
in an asyncio program; several generators advance in turn, in one thread. Both close their generators when interrupted,
so that a generator's `finally` block can kill its servers.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import TypeAlias

Steps: TypeAlias = Generator[None, None, None]

PAUSE_SECONDS = 0.01


def drive(*steps: Steps) -> None:
    """Run all `steps` to completion, concurrently, in this thread."""
    with _closing(*steps):
        while steps := _advance(*steps):
            time.sleep(PAUSE_SECONDS)


async def drive_async(*steps: Steps) -> None:
    """Run all `steps` to completion, concurrently, without blocking the event loop."""
    with _closing(*steps):
        while steps := _advance(*steps):  # noqa: ASYNC110  processes and ports set no event
            await asyncio.sleep(PAUSE_SECONDS)


def drive_while(condition: Callable[[], bool], steps: Steps) -> None:
    """Run `steps` while `condition()` holds, and leave the remaining steps to be driven later."""
    with _closing(steps) as closing:
        while condition() and _advance(steps):
            time.sleep(PAUSE_SECONDS)
        closing.pop_all()


def _closing(*steps: Steps) -> ExitStack:
    stack = ExitStack()
    for each in steps:
        stack.callback(each.close)
    return stack


def _advance(*steps: Steps) -> tuple[Steps, ...]:
    """Take one step of each generator; returns the unfinished ones."""
    return tuple(each for each in steps if next(each, each) is None)
