"""Supervision of consumers, which run beside the block that started them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

from gofleet.domain.errors import Unavailable
from gofleet.waiting import cancel_and_wait, first_of

Work = Callable[[asyncio.Event, asyncio.Event], Awaitable[None]]
"""Sets the second event once it consumes or has to wait, and returns after the first is set."""


class Supervisor:
    """Ends the process when its consumer has failed, if run by `process.keeping(consumer.supervisor)`."""

    def __init__(self) -> None:
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._wanted, self._consuming = Counter[str](), Counter[str]()  # one queue may be consumed twice

    @contextmanager
    def consuming(self, queue: str) -> Generator[None]:
        """Count `queue` as consumed during the block."""
        self._consuming[queue] += 1
        try:
            yield
        finally:
            self._consuming[queue] -= 1

    async def check(self) -> None:
        """`Unavailable` if a queue that should be consumed is not."""
        if away := sorted(queue for queue, wanted in self._wanted.items() if self._consuming[queue] < wanted):
            raise Unavailable("the broker", f"nothing is consumed from {', '.join(away)}")

    @property
    def failure(self) -> BaseException | None:
        """The error that ended the consumer, if any."""
        return self._failure

    async def __call__(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set; raise the error if consuming ends first."""
        await first_of(stop, self._failed)
        if self._failure is not None:
            raise self._failure

    @asynccontextmanager
    async def running(self, queue: str, work: Work) -> AsyncGenerator[None]:
        """Run `work` beside the block and end it after it; its failure is raised at entry or exit, and reported."""
        stop, started = asyncio.Event(), asyncio.Event()
        self._wanted[queue] += 1
        task = asyncio.create_task(self._reporting(work, stop, started))
        try:
            await first_of(started, task)
            if task.done():
                await task
            yield
        finally:
            stop.set()
            await _ended(task)
            self._wanted[queue] -= 1

    async def _reporting(self, work: Work, stop: asyncio.Event, started: asyncio.Event) -> None:
        try:
            await work(stop, started)
        except Exception as error:
            self._failure = self._failure or error
            self._failed.set()
            raise


def jittered(seconds: float) -> float:
    """`seconds` +- 50 %, so that clients that lost the same server do not all reconnect at the same moment."""
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311  jitter, not a secret


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for the task and raise its error; cancelled together with the caller."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await cancel_and_wait(task)
        raise
    await task
