"""Leases in memory: what `RedisLeases` does, within one process."""

from __future__ import annotations

import time
from collections.abc import Callable

from gofleet.ports import Lease, LeaseState

DONE = "done"


class MemoryLeases:
    """`Leases`, by a `clock` in seconds."""

    def __init__(
        self, *, lease_ms: int = 15_000, done_seconds: float = 86_400, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lease_seconds = lease_ms / 1000
        self._done_seconds = done_seconds
        self._clock = clock
        self._kept: dict[str, tuple[str, float]] = {}

    async def acquire(self, key: str, token: str) -> Lease:
        """ACQUIRED (again, if it was ours), BUSY with the time it has left, or DONE."""
        value, left = self._read(key)
        if value == DONE:
            return Lease(LeaseState.DONE)
        if value not in (None, f"p:{token}"):
            return Lease(LeaseState.BUSY, left)
        await self.take_over(key, token)
        return Lease(LeaseState.ACQUIRED)

    async def take_over(self, key: str, token: str) -> None:
        """Ours, whatever stood there: for a `done` that the database does not confirm."""
        self._keep(key, f"p:{token}", self._lease_seconds)

    async def finish(self, key: str, token: str) -> None:
        """Done, unless somebody else holds it by now."""
        if self._read(key)[0] in (None, f"p:{token}"):
            self._keep(key, DONE, self._done_seconds)

    async def release(self, key: str, token: str) -> None:
        """Gone, if it is ours."""
        if self._read(key)[0] == f"p:{token}":
            del self._kept[key]

    def _read(self, key: str) -> tuple[str | None, float]:
        """What stands there and for how many seconds."""
        value, until = self._kept.get(key, ("", 0.0))
        left = until - self._clock()
        return (value, left) if value and left > 0 else (None, 0.0)

    def _keep(self, key: str, value: str, seconds: float) -> None:
        self._kept[key] = (value, self._clock() + seconds)
