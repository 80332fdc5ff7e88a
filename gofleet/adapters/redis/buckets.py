"""Token buckets in Redis, by the server's clock, shared by all processes."""

from __future__ import annotations

from redis.asyncio import Redis

from gofleet.adapters.redis.scripts import Script, ScriptPipeline
from gofleet.guards.limiter import Rate, TokenGrant


class RedisBuckets:
    """`Buckets`, in keys `<prefix>bucket:<key>` that expire when the bucket is full."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._prefix = prefix
        self._take = Script(ScriptPipeline(redis), "take_tokens")

    async def take(self, key: str, rate: Rate, most: int) -> TokenGrant:
        interval = max(1, round(1_000_000 / rate.per_second))
        granted, remaining, wait_us = await self._take([f"{self._prefix}bucket:{key}"], interval, rate.burst, most)
        return TokenGrant(int(granted), int(remaining), int(wait_us) / 1_000_000)
