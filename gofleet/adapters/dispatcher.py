"""Dispatcher of a broker's messages to a handler: bounded concurrency, one outcome per message, graceful shutdown."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from loguru import logger

from gofleet import failpoints
from gofleet.domain.messages import EVENT_ID, Ack, Delivery, Handler, Outcome, Retry

if TYPE_CHECKING:
    from loguru import Logger  # exists in its stubs only

RETRY_AFTER_ERROR = Retry(5, counted=True)
"""The outcome of a handler that raised; its guards should have handled the error."""
GIVE_BACK = Retry(0)
"""The outcome of a message that must not be in flight beside a suspect. A nack would count as a lost consumer before
RabbitMQ 4.3."""
CAUTIOUS_SECONDS = 2.0
"""How long after a suspect only one message at a time is accepted: others, which were in flight in the same lost
consumers, follow it."""


class IncomingMessage(Protocol):
    """One message that is in flight until it is settled. The broker redelivers a message that is never settled."""

    @property
    def delivery(self) -> Delivery: ...
    async def ack(self) -> None: ...
    async def retry_later(self, retry: Retry) -> None: ...
    async def nack(self) -> None: ...  # another consumer may have it now


class Dispatcher:
    """Calls `handler` with each accepted message, at most `concurrency` at once, and settles the message.

    A suspect, which may kill its consumer, is handled alone: `pause` stops the deliveries, and other messages are given
    back or finished first, so that they are not in flight when it does. The consumer accepts no more than `capacity`.
    """

    def __init__(self, handler: Handler, concurrency: int) -> None:
        self.pause: Callable[[], Awaitable[None]] = _no_pause
        self.suspected = asyncio.Event()
        self._suspect: IncomingMessage | None = None
        self._is_alone = False
        self._cautious_until = 0.0
        self._handler = handler
        self._concurrency = concurrency
        self._waiting: deque[IncomingMessage] = deque()
        self._handling = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._finishing = False
        self._left = asyncio.Event()

    def __len__(self) -> int:
        """The number of messages in flight."""
        return len(self._waiting) + len(self._tasks)

    def accept(self, message: IncomingMessage) -> None:
        """Take a message; nack it when finishing."""
        if self._finishing:
            self._start(self._settle(message, None))
        elif self._suspect is not None:
            self._start(self._settle(message, GIVE_BACK))
        elif message.delivery.is_suspect:
            self._suspect = message
            self._settle_waiting(GIVE_BACK)
            self.suspected.set()
            self._start(self._handle_alone(message))
        else:
            self._waiting.append(message)
            self._start_waiting()

    @property
    def is_cautious(self) -> bool:
        """Whether suspects are in flight, or were until recently."""
        return self._suspect is not None or time.monotonic() < self._cautious_until

    def capacity(self, prefetch: int) -> int:
        """How many more messages may be in flight: of `prefetch`, or of one while cautious."""
        return (1 if self.is_cautious else prefetch) - len(self)

    async def has_capacity(self, prefetch: int) -> None:
        """Return once another message may be in flight."""
        while self.capacity(prefetch) <= 0:
            self._left.clear()
            await self._left.wait()

    def drop_waiting(self) -> None:
        """Drop the messages that no handler has started: their connection is lost, so the broker redelivers them."""
        self._waiting.clear()
        if not self._is_alone:
            self._suspect = None
        self._left.set()

    async def finish(self, grace_seconds: float) -> None:
        """Nack the messages that no handler has started and wait for the others, at most `grace_seconds`; then cancel
        them."""
        self._finishing = True
        self._settle_waiting(None)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        if late := set(self._tasks):
            logger.bind(messages=len(late)).warning("cancelled the handlers still running after the grace period")
            for task in late:
                task.cancel()
            await asyncio.wait(late)

    def _start_waiting(self) -> None:
        while self._waiting and self._handling < self._concurrency:
            self._handling += 1
            self._start(self._handle(self._waiting.popleft()))

    async def _handle(self, message: IncomingMessage) -> None:
        try:
            outcome = await self._outcome(message.delivery)
        finally:
            self._handling -= 1
            self._start_waiting()  # before settling, which may have to wait for an unavailable broker
        await self._settle(message, outcome)

    async def _handle_alone(self, suspect: IncomingMessage) -> None:
        """Handle it once no other message is in flight, unless its connection is lost before."""
        try:
            await self._when_alone(suspect)
            if self._suspect is suspect:
                self._is_alone = True
                self._handling += 1
                await self._handle(suspect)
        finally:
            if self._suspect is suspect:
                self._suspect, self._is_alone = None, False
            self._cautious_until = time.monotonic() + CAUTIOUS_SECONDS

    async def _when_alone(self, suspect: IncomingMessage) -> None:
        own = asyncio.current_task()
        try:
            await self.pause()
        except Exception as error:
            _log(suspect.delivery).warning("cannot pause the deliveries: {!r}", error)
        # One whose connection is lost waits no longer: its redelivery may be among the others, waiting for this one.
        while self._suspect is suspect and (others := self._tasks - {own}):
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)

    def _settle_waiting(self, outcome: Outcome | None) -> None:
        while self._waiting:
            self._start(self._settle(self._waiting.popleft(), outcome))

    async def _outcome(self, delivery: Delivery) -> Outcome:
        try:
            return await self._handler(delivery)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            _log(delivery).error("a handler was cancelled from within")  # such as by a connection lost under it
        except Exception:
            _log(delivery).exception("a handler raised")
        return RETRY_AFTER_ERROR

    async def _settle(self, message: IncomingMessage, outcome: Outcome | None) -> None:
        """Ack, retry, or nack (None)."""
        try:
            match outcome:
                case Ack():
                    await message.ack()
                case Retry() as retry:
                    failpoints.hit("worker.before_postpone")
                    await message.retry_later(retry)
                case None:
                    await message.nack()
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            _log(message.delivery).warning("cannot settle a message: connection lost")
        except Exception as error:
            _log(message.delivery).warning("cannot settle a message: {!r}", error)
            await self._nack_unsettled(message)

    async def _nack_unsettled(self, message: IncomingMessage) -> None:
        """Return a message that could not be settled; else it would stay in flight, unhandled, until a restart."""
        try:
            await message.nack()
        except Exception as error:  # then the connection is lost, and the broker redelivers the message
            _log(message.delivery).debug("cannot return it to its queue either: {!r}", error)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._left.set()


async def _no_pause() -> None:
    """For consumers that accept no more than `capacity`."""


def decode_headers(headers: Mapping[str, object]) -> dict[str, str]:
    """Headers of a message as text. Bytes that are not UTF-8 and other types are replaced; it never fails."""
    return {name: _decode(value) for name, value in headers.items()}


def _decode(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else str(value)


def _is_cancelled() -> bool:
    """Whether this task itself is being cancelled, and not only something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _log(delivery: Delivery) -> Logger:
    return logger.bind(queue=delivery.queue, event_id=delivery.headers.get(EVENT_ID))
