"""Process: the roles it runs and the shared parts they need."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from loguru import logger

from gofleet.settings import Settings
from gofleet.telemetry.metrics import BACKGROUND_ERRORS
from gofleet.waiting import cancel_and_wait, first_of, sleep_unless

T = TypeVar("T")
RESTART_SECONDS = 1.0
Part = Callable[["Process"], AbstractAsyncContextManager[T]]
Work = Callable[[asyncio.Event], Awaitable[None]]
Check = Callable[[], Awaitable[object]]


class Process:
    """Running process: opens each part once, on first use, and closes all of them in reverse order.

    `checks` are the readiness checks by name; `stopping` is set by SIGTERM, SIGINT or the first failure; `roles` are
    the names of its roles.
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
        """Use `value` as the value of `part`, for tests."""
        self._parts[part] = value

    async def use(self, part: Part[T]) -> T:
        """The value of the part, opened on first use. Parts open one after the other, which fixes the closing order."""
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
        """Stop the process because of `error`, with which it then exits."""
        self._failures.append(error)
        self.stopping.set()

    @asynccontextmanager
    async def keeping(self, work: Work) -> AsyncGenerator[None]:
        """Run `work` as a task beside the block.

        At the end of the block its event is set, and the task is cancelled after the grace period. If `work` ends or
        fails before, the process stops with an error.
        """
        stop = asyncio.Event()

        async def watched() -> None:
            try:
                await work(stop)
                if not stop.is_set():
                    raise RuntimeError(f"{_name(work)} ended by itself")
            except Exception as error:  # any failure stops the process
                self.fail(error)

        task = asyncio.create_task(watched())
        try:
            yield
        finally:
            stop.set()
            await first_of(task, timeout=self.settings.general.grace_seconds)
            await cancel_and_wait(task)

    async def run(self, roles: Sequence[Part[None]]) -> None:
        """Run the roles until stopped; `ExceptionGroup` of the failures that stopped it otherwise.

        The first SIGTERM or SIGINT finishes the work in flight; the second cancels it.
        """
        with _signals(self._request_stop):
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

    def _request_stop(self) -> None:
        if self.stopping.is_set() and self._main is not None:
            self._main.cancel()
        self.stopping.set()

    async def _has_started(self) -> None:
        if not self._started:
            raise RuntimeError("not all roles have started")

    async def _opened(self, role: Part[None]) -> bool:
        """Whether the role has started; False if stopped before, as while it waits for its servers."""
        opening = asyncio.create_task(self.use(role))
        await first_of(opening, self.stopping)
        if not opening.done():
            await cancel_and_wait(opening)
            return False
        await opening
        return True


def restarting(name: str, work: Work) -> Work:
    """`work`, started again after an error, which is logged and counted: what runs beside the requests and messages of
    a process does not end it. Servers and consumers are kept without this, because without them it is of no use."""

    errors = BACKGROUND_ERRORS.labels(name)  # 0 from the start, so that a first error is an increase

    async def run(stop: asyncio.Event) -> None:
        while True:
            try:
                return await work(stop)
            except Exception:
                logger.exception("{} failed and will start again", name)
                errors.inc()
            if await sleep_unless(stop, RESTART_SECONDS):
                return None

    return run


def _name(work: Work) -> str:
    return getattr(work, "__qualname__", None) or type(work).__name__


@contextmanager
def _signals(handler: Callable[[], None]) -> Generator[None]:
    loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def repeat(act: Callable[[], Awaitable[object]], seconds: float, stop: asyncio.Event) -> None:
    """Call `act` every `seconds` until `stop`, at once again while it returns a true value."""
    while not stop.is_set():
        if not await act():
            await sleep_unless(stop, seconds)
