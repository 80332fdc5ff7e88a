"""A terminal, and an API behind it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from gofleet.domain.messages import AGGREGATE_ID, DISPATCH_QUEUE, EVENT_ID, Delivery
from gofleet.domain.parked import HandlingFailure, Stage
from tests.cli.typed import gofleet
from tests.roles.conftest import World


class Desk:
    """A terminal, and the API behind it; `said` is what the last command printed."""

    def __init__(self, world: World, url: str, at: Path) -> None:
        self.world = world
        self._url, self._at = url, at
        self.said = self.complained = ""

    async def types(self, *words: str) -> int:
        """The command's exit code; it finds the API by the environment."""
        # In a thread, for the API lives in this loop.
        environment = {"GOFLEET_URL": self._url, "COLUMNS": "200", "NO_COLOR": "1"}
        ended = await asyncio.to_thread(gofleet, *words, environment=environment, at=self._at)
        self.said, self.complained = ended.stdout, ended.stderr
        return ended.returncode

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.splitlines()]

    async def park(self, name: str, error: Exception, queue: str = DISPATCH_QUEUE, body: bytes = b"{}") -> None:
        delivery = Delivery(queue, body, {EVENT_ID: f"e-{name}", AGGREGATE_ID: name})
        await self.world.parked.add(delivery, HandlingFailure.of(error))

    def stages(self) -> list[Stage]:
        return [row.message.stage for row in self.world.parked.rows]
