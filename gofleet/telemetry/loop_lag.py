"""How late the event loop is: what blocks it blocks everything a process does."""

from __future__ import annotations

import asyncio

from gofleet.telemetry.metrics import LOOP_LAG_SECONDS
from gofleet.waiting import sleep_unless

EVERY_SECONDS = 0.5


async def measure_loop_lag(stop: asyncio.Event) -> None:
    """Ask to be woken now and then, and note by how much too late that happens."""
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        due = loop.time() + EVERY_SECONDS
        if not await sleep_unless(stop, EVERY_SECONDS):
            LOOP_LAG_SECONDS.observe(max(loop.time() - due, 0.0))
