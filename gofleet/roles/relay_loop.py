"""The loop of a relay: woken by notifications or polling, it publishes batch after batch. Two loops run at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from gofleet.waiting import first_of

Act = Callable[[], Awaitable[int]]


class WakeUp:
    """Passes notifications of pending events to the waiting loops, each to one of them: the events that the first loop
    claims are gone for the others. A notification while no loop waits is kept for the next one."""

    def __init__(self) -> None:
        self.notifications = 0
        self._pending = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def notify(self) -> None:
        self.notifications += 1
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._pending = True

    def consume(self) -> int:
        """Drop a kept notification before the outbox is read; the number of notifications until now."""
        self._pending = False
        return self.notifications

    async def wait(self, seconds: float, stop: asyncio.Event) -> None:
        """Return on a notification, when `stop` is set, or after `seconds`."""
        if self._pending:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await first_of(waiter, stop, timeout=seconds)
        finally:
            if not waiter.done():
                self._waiting.remove(waiter)


async def relay_loop(act: Act, full: int, wake_up: WakeUp, poll_seconds: float, stop: asyncio.Event) -> None:
    """Call `act` at each notification and every `poll_seconds`, until `stop`; again at once while batches are at least
    half `full`, or when a notification arrived during a call that published something.

    Events in flight in another loop or relay hold back the later events of the same orders: the loop that published
    them looks for those, and a loop that found nothing need not.
    """
    while not stop.is_set():
        before = wake_up.consume()
        done = await act()
        more = 2 * done >= full  # the broker may have refused some of the batch
        if not more and not (done and wake_up.notifications > before):
            await wake_up.wait(poll_seconds, stop)
