"""How a relay goes on: at once when the bell rings, with more than one batch under way, and seldom looking in vain."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from gofleet.waiting import first_of

Act = Callable[[], Awaitable[int]]


class WakeUp:
    """Rung when there may be news. It wakes one of those who wait, for what it finds is gone for the others; rung while
    nobody waits, it is heard by who looks next."""

    def __init__(self) -> None:
        self.notifications = 0
        self._unheard = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def notify(self) -> None:
        self.notifications += 1
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._unheard = True

    def consume(self) -> int:
        """Whoever looks now sees what was rung for until now: the number of rings."""
        self._unheard = False
        return self.notifications

    async def wait(self, seconds: float, stop: asyncio.Event) -> None:
        """Until it rings for us, `stop` is set, or the time is up."""
        if self._unheard:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await first_of(waiter, stop, timeout=seconds)
        finally:
            if not waiter.done():
                self._waiting.remove(waiter)


async def relay_loop(act: Act, full: int, bell: WakeUp, poll_seconds: float, stop: asyncio.Event) -> None:
    """Call `act` at every ring that is not another lane's, and every `poll_seconds`, until `stop`; again at once when
    there is more than one batch of `full`, or when it was rung meanwhile.

    For what another lane or another relay has in hand holds the later events of its orders back: who has published
    something looks after those, and one who found nothing need not.
    """
    while not stop.is_set():
        heard = bell.consume()
        done = await act()
        more = 2 * done >= full  # not all of it need have been taken
        if not more and not (done and bell.notifications > heard):
            await bell.wait(poll_seconds, stop)
