"""In-memory `Leases` for one process, equivalent to `RedisLeases`."""

from __future__ import annotations

import time
from collections.abc import Callable

from gofleet.ports import Lease, LeaseState

DONE = "done"


class MemoryLeases:
    """`Leases` with a `clock` in seconds."""

    def __init__(
        self, *, lease_ms: int = 15_000, done_seconds: float = 86_400, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lease_seconds = lease_ms / 1000
        self._done_seconds = done_seconds
        self._clock = clock
        self._values: dict[str, tuple[str, float]] = {}

    async def acquire(self, key: str, token: str) -> Lease:
        """ACQUIRED (prolonged, if it was ours), BUSY with its remaining time, or DONE."""
        value, left = self._read(key)
        if value == DONE:
            return Lease(LeaseState.DONE, value=value)
        if value not in (None, f"p:{token}"):
            return Lease(LeaseState.BUSY, left, value or "")
        self._set(key, f"p:{token}", self._lease_seconds)
        return Lease(LeaseState.ACQUIRED)

    async def take_over(self, key: str, token: str, seen: Lease) -> bool:
        """Replace the lease of a lost consumer, or a `done` that the database does not confirm."""
        unchanged = self._read(key)[0] == seen.value
        if unchanged:
            self._set(key, f"p:{token}", self._lease_seconds)
        return unchanged

    async def finish(self, key: str, token: str) -> None:
        """Mark as done, unless another consumer has taken the lease over."""
        if self._read(key)[0] in (None, f"p:{token}"):
            self._set(key, DONE, self._done_seconds)

    async def release(self, key: str, token: str) -> None:
        """Delete the lease, if it is ours."""
        if self._read(key)[0] == f"p:{token}":
            del self._values[key]

    def _read(self, key: str) -> tuple[str | None, float]:
        """The value and its remaining seconds; None if it has expired."""
        value, until = self._values.get(key, ("", 0.0))
        left = until - self._clock()
        return (value, left) if value and left > 0 else (None, 0.0)

    def _set(self, key: str, value: str, seconds: float) -> None:
        self._values[key] = (value, self._clock() + seconds)
