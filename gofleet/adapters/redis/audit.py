"""What Redis holds, read without changing anything: who is busy, what is claimed, and what lies in the streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gofleet.adapters.redis.positions import RedisPositions
from gofleet.adapters.redis.scripts import escape_glob, translate_redis_errors
from gofleet.adapters.redis.stream_wire import GROUP, StreamNames
from gofleet.ports import Depth, Holding

PAGE = 1000
FOR_EVER = -1


class RedisAudit:
    """Everything under `prefix`; `Unavailable` from any method when Redis is."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._prefix = prefix
        self._redis = cast("Any", redis)  # its commands are typed for the synchronous client too
        self._names = StreamNames(prefix)
        self._positions = RedisPositions(redis, prefix=prefix, stale_seconds=0, claim_ms=0)

    async def check(self) -> None:
        with translate_redis_errors():
            await self._redis.ping()

    async def holdings(self) -> set[Holding]:
        """Which driver holds which order."""
        return set(await self._positions.holdings())

    async def free_drivers(self) -> AsyncGenerator[str]:
        """Who is in the index that is searched; one may come twice."""
        with translate_redis_errors():
            async for driver_id, _ in self._redis.zscan_iter(f"{self._prefix}drivers:free", count=PAGE):
                yield str(driver_id)

    async def lasting_claims(self) -> AsyncGenerator[str]:
        """Claims on drivers that would never end by themselves."""
        with translate_redis_errors():
            for kind in ("claim", "claimed"):
                async for key in self._redis.scan_iter(match=f"{escape_glob(self._prefix)}{kind}:*", count=PAGE):
                    if await self._redis.pttl(key) == FOR_EVER:
                        yield str(key)

    async def depths(self, queues: Iterable[str]) -> list[Depth]:
        """Of the streams of these queues, of what waits for its time, and of what was parked by the broker."""
        found = list[Depth]()
        with translate_redis_errors():
            for queue in queues:
                stream, later, parking = self._names.stream(queue), self._names.later(queue), self._names.parking(queue)
                found += [await self._stream(stream), await self._stream(parking)]
                found.append(Depth(later, int(await self._redis.zcard(later))))
        return found

    async def _stream(self, stream: str) -> Depth:
        length = int(await self._redis.xlen(stream))
        try:
            held = int((await self._redis.xpending(stream, GROUP))["pending"])
        except ResponseError:  # nobody has consumed it yet
            held = 0
        return Depth(stream, length - held, held)
