"""Leases in Redis: the events that are being handled now, and those handled recently."""

from __future__ import annotations

from redis.asyncio import Redis

from gofleet.adapters.redis.scripts import Script, ScriptPipeline
from gofleet.ports import Lease, LeaseState
from gofleet.telemetry.metrics import LEASES_BUSY, LEASES_TAKEN_OVER


class RedisLeases:
    """`Leases`; every method raises `Unavailable` when Redis is unavailable.

    The key `<prefix>lease:<key>` holds `p:<token>` for `lease_ms` while a consumer works, then `done` for
    `done_seconds`. No guarantee may depend on it: it is lost whenever Redis loses its data.
    """

    def __init__(self, redis: Redis, *, prefix: str, lease_ms: int = 15_000, done_seconds: float = 86_400) -> None:
        self._prefix = prefix
        self._lease_ms = lease_ms
        self._done_ms = round(done_seconds * 1000)
        pipeline = ScriptPipeline(redis)
        self._acquire = Script(pipeline, "lease_acquire")
        self._take_over = Script(pipeline, "lease_take_over")
        self._finish = Script(pipeline, "lease_finish")
        self._release = Script(pipeline, "lease_release")

    async def acquire(self, key: str, token: str) -> Lease:
        """ACQUIRED for `lease_ms` from now (prolonged, if it was ours), BUSY with its remaining time, or DONE."""
        state, left_ms, value = await self._acquire([self._key(key)], f"p:{token}", self._lease_ms)
        LEASES_BUSY.inc(LeaseState(state) is LeaseState.BUSY)
        return Lease(LeaseState(state), max(0, int(left_ms)) / 1000, str(value))

    async def take_over(self, key: str, token: str, seen: Lease) -> bool:
        """Replace the lease of a lost consumer, or a `done` that the database does not confirm."""
        [taken] = await self._take_over([self._key(key)], f"p:{token}", self._lease_ms, seen.value)
        LEASES_TAKEN_OVER.inc(int(taken))
        return bool(taken)

    async def finish(self, key: str, token: str) -> None:
        """Mark as done, unless another consumer has taken the lease over."""
        await self._finish([self._key(key)], f"p:{token}", self._done_ms)

    async def release(self, key: str, token: str) -> None:
        """Delete the lease, if it is ours."""
        await self._release([self._key(key)], f"p:{token}")

    def _key(self, key: str) -> str:
        return f"{self._prefix}lease:{key}"
