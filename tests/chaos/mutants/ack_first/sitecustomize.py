"""A worker that acknowledges a message before it has handled it. Python runs this at the start of a process whose
PYTHONPATH names this directory."""

from __future__ import annotations

from gofleet.adapters import dispatcher as in_flight
from gofleet.domain.messages import ACK


async def handle(self: in_flight.Dispatcher, held: in_flight.IncomingMessage) -> None:
    await self._answer(held, ACK)  # pyright: ignore[reportPrivateUsage]
    try:
        await self._verdict(held.delivery)  # pyright: ignore[reportPrivateUsage]
    finally:
        self._handling -= 1  # pyright: ignore[reportPrivateUsage]
        self._start_waiting()  # pyright: ignore[reportPrivateUsage]


in_flight.Dispatcher._handle = handle  # pyright: ignore[reportPrivateUsage]
