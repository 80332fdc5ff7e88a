"""The messages a consumer has in hand, whatever the broker: so many handled at once, and an orderly end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

from loguru import logger

from gofleet import failpoints
from gofleet.domain.messages import EVENT_ID, Ack, Delivery, Handler, Outcome, Retry

if TYPE_CHECKING:
    from loguru import Logger  # exists in its stubs only

AFTER_A_FAILURE = Retry(5, counted=True)
"""For a handler that raised, which its guards should have answered."""


class IncomingMessage(Protocol):
    """One message that the broker considers ours until we answer. What cannot be answered it delivers again."""

    @property
    def delivery(self) -> Delivery: ...
    async def ack(self) -> None: ...
    async def retry_later(self, later: Retry) -> None: ...
    async def nack(self) -> None: ...  # never started: let another consumer have it now


class Dispatcher:
    """Gives each accepted message to `handler`, at most `concurrency` at once, and answers the broker."""

    def __init__(self, handler: Handler, concurrency: int) -> None:
        self._handler = handler
        self._concurrency = concurrency
        self._waiting: deque[IncomingMessage] = deque()
        self._handling = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._finishing = False
        self._left = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._tasks)

    def accept(self, held: IncomingMessage) -> None:
        """Take a message; when finishing, give it back."""
        if self._finishing:
            self._own(self._answer(held, None))
        else:
            self._waiting.append(held)
            self._start_waiting()

    async def fewer_than(self, count: int) -> None:
        """Return once less than `count` are in hand."""
        while len(self) >= count:
            self._left.clear()
            await self._left.wait()

    def drop_waiting(self) -> None:
        """Forget those never started: their connection is lost, and they come again on the next."""
        self._waiting.clear()
        self._left.set()

    async def finish(self, grace_seconds: float) -> None:
        """Give back what was never started and let the rest end; cancel what has not after `grace_seconds`."""
        self._finishing = True
        while self._waiting:
            self._own(self._answer(self._waiting.popleft(), None))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        if late := set(self._tasks):
            logger.bind(messages=len(late)).warning("cancelled what was not handled within the grace period")
            for task in late:
                task.cancel()
            await asyncio.wait(late)

    def _start_waiting(self) -> None:
        while self._waiting and self._handling < self._concurrency:
            self._handling += 1
            self._own(self._handle(self._waiting.popleft()))

    async def _handle(self, held: IncomingMessage) -> None:
        try:
            verdict = await self._verdict(held.delivery)
        finally:
            self._handling -= 1
            self._start_waiting()  # before the answer, which may have to wait for a broker that takes nothing now
        await self._answer(held, verdict)

    async def _verdict(self, delivery: Delivery) -> Outcome:
        try:
            return await self._handler(delivery)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            _log(delivery).error("a handler was cancelled from within")  # such as by a connection that died under it
        except Exception:
            _log(delivery).exception("a handler raised")
        return AFTER_A_FAILURE

    async def _answer(self, held: IncomingMessage, verdict: Outcome | None) -> None:
        try:
            match verdict:
                case Ack():
                    await held.ack()
                case Retry() as later:
                    failpoints.hit("worker.before_postpone")
                    await held.retry_later(later)
                case None:
                    await held.nack()
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            _log(held.delivery).warning("the broker was not answered: connection lost")
        except Exception as error:
            _log(held.delivery).warning("the broker was not answered: {!r}", error)
            await self._let_go(held)

    async def _let_go(self, held: IncomingMessage) -> None:
        """Give back what could not be answered: kept in silence it would be ours, and nobody's, until we restart."""
        try:
            await held.nack()
        except Exception as error:  # then the connection is lost, and the broker gives it to somebody by itself
            _log(held.delivery).debug("nor was it given back: {!r}", error)

    def _own(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._disown)

    def _disown(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._left.set()


def _is_cancelled() -> bool:
    """Whether somebody wants this task to end, and not only something it waited for was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _log(delivery: Delivery) -> Logger:
    return logger.bind(queue=delivery.queue, event_id=delivery.headers.get(EVENT_ID))
