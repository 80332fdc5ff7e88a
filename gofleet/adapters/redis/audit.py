"""Reads the state that Redis holds, without changing it: busy drivers, claims, and the depths of the streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gofleet.adapters.redis.connection import translate_redis_errors
from gofleet.adapters.redis.names import StreamNames, escape_glob
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.adapters.redis.stream import GROUP
from gofleet.ports import Depth, Holding

SCAN_COUNT = 1000
NO_EXPIRY = -1


class RedisAudit:
    """Reads the keys under `prefix`; every method raises `Unavailable` when Redis is unavailable."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._prefix = prefix
        self._redis = cast("Any", redis)  # its commands are also typed for the synchronous client
        self._names = StreamNames(prefix)
        self._positions = RedisPositions(redis, prefix=prefix, stale_seconds=0, claim_ms=0)

    async def check(self) -> None:
        with translate_redis_errors():
            await self._redis.ping()

    async def holdings(self) -> set[Holding]:
        """Which driver holds which order."""
        return set(await self._positions.holdings())

    async def free_drivers(self) -> AsyncGenerator[str]:
        """The drivers in the index of free drivers; a driver may be repeated."""
        with translate_redis_errors():
            async for driver_id, _ in self._redis.zscan_iter(f"{self._prefix}drivers:free", count=SCAN_COUNT):
                yield str(driver_id)

    async def unregistered_drivers(self) -> set[str]:
        """Drivers that send positions, and are not registered as far as Redis knows."""
        pages = [page async for page in self._positions.registrations(SCAN_COUNT)]
        return {driver_id for page in pages for driver_id, version in page.items() if version is None}

    async def lasting_claims(self) -> AsyncGenerator[str]:
        """Claims on drivers that would never expire."""
        with translate_redis_errors():
            for kind in ("claim", "claimed"):
                async for key in self._redis.scan_iter(match=f"{escape_glob(self._prefix)}{kind}:*", count=SCAN_COUNT):
                    if await self._redis.pttl(key) == NO_EXPIRY:
                        yield str(key)

    async def depths(self, queues: Iterable[str]) -> list[Depth]:
        """The depths of the streams of these queues, of their retries, and of the messages that the broker parked."""
        depths = list[Depth]()
        with translate_redis_errors():
            for queue in queues:
                stream, later, parking = self._names.stream(queue), self._names.later(queue), self._names.parking(queue)
                depths += [await self._stream(stream), await self._stream(parking)]
                depths.append(Depth(later, int(await self._redis.zcard(later))))
        return depths

    async def _stream(self, stream: str) -> Depth:
        length = int(await self._redis.xlen(stream))
        try:
            held = int((await self._redis.xpending(stream, GROUP))["pending"])
        except ResponseError:  # it has no consumer group yet
            held = 0
        return Depth(stream, length - held, held)
