"""Runs commands against an API in memory."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from gofleet.domain.messages import AGGREGATE_ID, DISPATCH_QUEUE, EVENT_ID, Delivery
from gofleet.domain.parked import HandlingFailure, Stage
from tests.cli.program import gofleet
from tests.roles.conftest import World


class CliSession:
    """Runs commands against the API of `world`; `stdout` and `stderr` are the output of the last one."""

    def __init__(self, world: World, url: str, cwd: Path) -> None:
        self.world = world
        self._url, self._cwd = url, cwd
        self.stdout = self.stderr = ""

    async def run(self, *words: str) -> int:
        """Exit code of the command; the environment contains the API's URL."""
        # In a thread, because the API runs in this event loop.
        environment = {"GOFLEET_URL": self._url, "COLUMNS": "200", "NO_COLOR": "1"}
        ended = await asyncio.to_thread(gofleet, *words, environment=environment, cwd=self._cwd)
        self.stdout, self.stderr = ended.stdout, ended.stderr
        return ended.returncode

    def json_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    async def park(self, name: str, error: Exception, queue: str = DISPATCH_QUEUE, body: bytes = b"{}") -> None:
        delivery = Delivery(queue, body, {EVENT_ID: f"e-{name}", AGGREGATE_ID: name})
        await self.world.parked.add(delivery, HandlingFailure.of(error))

    def stages(self) -> list[Stage]:
        return [row.message.stage for row in self.world.parked.rows]
