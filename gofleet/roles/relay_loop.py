"""The loop of a relay: woken by notifications or polling, it publishes batch after batch. Two loops run at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from time import monotonic

from gofleet.usecases.relay import Relayed
from gofleet.waiting import first_of

Act = Callable[[], Awaitable[Relayed | None]]
"""Publishes one batch; None during an outage."""


class WakeUp:
    """Passes notifications of pending events to the waiting loops, each to one of them: the events that the first loop
    claims are gone for the others. A notification while no loop waits is kept for the next one."""

    def __init__(self) -> None:
        self.notifications = 0
        self._pending = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._working = 0
        self._seen_until = -float("inf")

    def notify(self, age_seconds: float = 0.0) -> None:
        """Events were committed, all of them at least `age_seconds` ago; void if a claim has seen them."""
        if self._seen_until > monotonic() - age_seconds:
            return
        self.notifications += 1
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._pending = True

    @contextmanager
    def working(self) -> Generator[int]:
        """The block reads the outbox, and drops a kept notification before; the number of notifications until now.

        It sees all commits until now, unless another loop works: what that one has in flight holds back later events.
        """
        self._pending = False
        if not self._working:
            self._seen_until = monotonic()
        self._working += 1
        try:
            yield self.notifications
        finally:
            self._working -= 1

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


async def relay_loop(act: Act, wake_up: WakeUp, poll_seconds: float, stop: asyncio.Event) -> None:
    """Call `act` at each notification and every `poll_seconds`, until `stop`; again at once while it leaves more, or
    when a notification arrived during a call that published something.

    Events in flight in another loop or relay hold back the later events of the same orders: the loop that published
    them looks for those, and a loop that found nothing need not.
    """
    while not stop.is_set():
        with wake_up.working() as before:
            done = await act() or Relayed()
        if not done.more and not (done.events and wake_up.notifications > before):
            await wake_up.wait(poll_seconds, stop)
