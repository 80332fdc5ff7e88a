"""One running process: the roles it plays and the parts they need."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from loguru import logger

from gofleet.settings import Settings
from gofleet.waiting import cancel_and_wait, first_of, sleep_unless

T = TypeVar("T")
Part = Callable[["Process"], AbstractAsyncContextManager[T]]
Work = Callable[[asyncio.Event], Awaitable[None]]
Check = Callable[[], Awaitable[object]]


class Process:
    """Opens each part once, on first use, and closes all of them in reverse.

    `checks` are what readiness asks, by name; `stopping` is set by SIGTERM, SIGINT or the first failure;
    `roles` are the names of what it plays.
    """

    def __init__(self, settings: Settings, roles: Sequence[str] = ()) -> None:
        self.settings = settings
        self.roles = tuple(roles)
        self.checks: dict[str, Check] = {"started": self._has_started}
        self.stopping = asyncio.Event()
        self._parts: dict[Part[Any], Any] = {}
        self._opening: list[Part[Any]] = []
        self._exits = AsyncExitStack()
        self._failures: list[Exception] = []
        self._started = False
        self._main: asyncio.Task[Any] | None = None

    def lend(self, part: Part[T], value: T) -> None:
        """Stand `value` in for `part`. Tests lend fakes."""
        self._parts[part] = value

    async def use(self, part: Part[T]) -> T:
        """The part's value, opened now if it was not yet. One after the other, so that the closing order is known."""
        if part in self._opening:
            circle = " -> ".join(opened.__name__ for opened in [*self._opening, part])
            raise RuntimeError(f"parts need each other: {circle}")
        if part not in self._parts:
            self._opening.append(part)
            try:
                self._parts[part] = await self._exits.enter_async_context(part(self))
            finally:
                self._opening.pop()
        return self._parts[part]

    def fail(self, error: Exception) -> None:
        """Something that must run has ended: stop the process, which then exits with this error."""
        self._failures.append(error)
        self.stopping.set()

    @asynccontextmanager
    async def keeping(self, work: Work) -> AsyncGenerator[None]:
        """Run `work` beside the block. It ends when its event is set, and is cancelled when it has not within the
        grace period; if it ends before, or fails, the process stops with an error: nothing idles as a zombie."""
        stop = asyncio.Event()

        async def watched() -> None:
            try:
                await work(stop)
                if not stop.is_set():
                    raise RuntimeError(f"{_name(work)} ended by itself")
            except Exception as error:  # whatever it is, the process must know
                self.fail(error)

        task = asyncio.create_task(watched())
        try:
            yield
        finally:
            stop.set()
            await first_of(task, timeout=self.settings.general.grace_seconds)
            await cancel_and_wait(task)

    async def run(self, roles: Sequence[Part[None]]) -> None:
        """Play the roles until told to stop; raises an `ExceptionGroup` of whatever stopped it otherwise.

        The first SIGTERM or SIGINT lets the work in hand end; the second does not wait for it.
        """
        with _signals(self._told_to_stop):
            await self._play(roles)
        if self._failures:
            raise ExceptionGroup("a role failed", self._failures)

    async def _play(self, roles: Sequence[Part[None]]) -> None:
        self._main = asyncio.current_task()
        async with self._exits:
            for role in roles:
                if not await self._opened(role):
                    break
            else:
                self._started = True
                logger.info("ready: {}", ", ".join(self.roles))
            await self.stopping.wait()
            logger.info("stopping")

    def _told_to_stop(self) -> None:
        if self.stopping.is_set() and self._main is not None:
            self._main.cancel()
        self.stopping.set()

    async def _has_started(self) -> None:
        if not self._started:
            raise RuntimeError("not all roles have started")

    async def _opened(self, role: Part[None]) -> bool:
        """False if told to stop before the role was up, which may be long while it waits for its servers."""
        opening = asyncio.create_task(self.use(role))
        await first_of(opening, self.stopping)
        if not opening.done():
            await cancel_and_wait(opening)
            return False
        await opening
        return True


def _name(work: Work) -> str:
    return getattr(work, "__qualname__", None) or type(work).__name__


@contextmanager
def _signals(told: Callable[[], None]) -> Generator[None]:
    loop, signs = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for sign in signs:
        loop.add_signal_handler(sign, told)
    try:
        yield
    finally:
        for sign in signs:
            loop.remove_signal_handler(sign)


async def repeat(act: Callable[[], Awaitable[object]], seconds: float, stop: asyncio.Event) -> None:
    """Call `act` every `seconds` until `stop`; again at once while it returns true."""
    while not stop.is_set():
        if not await act():
            await sleep_unless(stop, seconds)
