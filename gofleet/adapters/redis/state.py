"""What a Redis or Valkey is like; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from gofleet.domain.errors import LoginRefused, Unavailable

REDIS = "Redis"


@dataclass(frozen=True)
class RedisState:
    """`product` is Redis or Valkey; `version` is of Redis, whose commands a Valkey speaks; `refused` tells which
    commands that we need are not taken, and why; `persistent` is None if it does not tell."""

    product: str
    version: str
    now: datetime
    writable: bool
    eviction: str
    persistent: bool | None
    refused: dict[str, str]


async def redis_state(redis: Redis, prefix: str) -> RedisState:
    """`LoginRefused` if it does not let us in, `Unavailable` without an answer."""
    client = cast("Any", redis)
    try:
        info: dict[str, Any] = await client.info()
        seconds, microseconds = await client.time()
        refused, persistent = await _refused(client, prefix), await _persistent(client, info)
    except (AuthenticationError, NoPermissionError, ResponseError) as error:
        raise LoginRefused(REDIS, str(error)) from error
    except (RedisError, OSError) as error:
        raise Unavailable(REDIS, str(error) or type(error).__name__) from error
    return RedisState(
        product=str(info.get("server_name", "redis")).capitalize(),
        version=str(info.get("redis_version", "")),
        now=datetime.fromtimestamp(int(seconds) + int(microseconds) / 1e6, UTC),
        writable=info.get("role") == "master",
        eviction=str(info.get("maxmemory_policy", "")),
        persistent=persistent,
        refused=refused,
    )


async def _persistent(client: Any, info: dict[str, Any]) -> bool | None:
    if info.get("aof_enabled"):
        return True
    try:
        return bool((await client.config_get("save")).get("save"))
    except ResponseError:  # it may be forbidden, or renamed
        return None


async def _refused(client: Any, prefix: str) -> dict[str, str]:
    asked = {
        "GEOSEARCH": ("GEOSEARCH", f"{prefix}doctor", "FROMLONLAT", 0, 0, "BYRADIUS", 1, "km"),
        "EVAL": ("EVAL", "return 1", 0),
    }
    refused = dict[str, str]()
    for name, words in asked.items():
        try:
            await client.execute_command(*words)
        except ResponseError as error:
            refused[name] = str(error)
    return refused
