"""Messages that were given up, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from gofleet.domain.messages import Delivery


@dataclass
class MemoryParked:
    rows: list[tuple[Delivery, str]] = field(default_factory=list[tuple[Delivery, str]])

    async def add(self, delivery: Delivery, reason: str) -> None:
        self.rows.append((delivery, reason))

    async def count(self) -> int:
        return len(self.rows)

    async def prune(self, days: float, limit: int) -> int:
        return 0  # nobody replays from here
