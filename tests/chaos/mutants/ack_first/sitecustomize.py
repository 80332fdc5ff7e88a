"""A worker that acknowledges a message before it has handled it. Python runs this at the start of a process whose
PYTHONPATH names this directory."""

from __future__ import annotations

from gofleet.adapters.dispatcher import Dispatcher, IncomingMessage
from gofleet.domain.messages import ACK


async def handle(self: Dispatcher, message: IncomingMessage) -> None:
    await self._settle(message, ACK)  # pyright: ignore[reportPrivateUsage]
    try:
        await self._outcome(message.delivery)  # pyright: ignore[reportPrivateUsage]
    finally:
        self._handling -= 1  # pyright: ignore[reportPrivateUsage]
        self._start_waiting()  # pyright: ignore[reportPrivateUsage]


Dispatcher._handle = handle  # pyright: ignore[reportPrivateUsage]
