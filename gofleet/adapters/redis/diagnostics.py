"""The state of a Redis or Valkey server, read without changing it."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from gofleet.adapters.redis.connection import check_redis_login
from gofleet.domain.errors import LoginRefused, Unavailable

REDIS = "Redis"
PROBE_SCRIPT = "return 1"
PROBE_SHA = sha1(PROBE_SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class RedisState:
    """`product` is Redis or Valkey; `version` is the Redis version, which Valkey reports for compatibility. `refused`
    maps the commands that our user needs and may not call to the reason. `persistent` is None if it is unknown. Without
    permission to call INFO (`has_info`) the other fields are unknown, and `now` may be None."""

    has_info: bool
    product: str
    version: str
    now: datetime | None
    writable: bool
    eviction: str
    persistent: bool | None
    refused: dict[str, str]


async def redis_state(redis: Redis, prefix: str, *, searches: bool = True, scripts: bool = True) -> RedisState:
    """`LoginRefused` if Redis rejects the credentials, `Unavailable` without an answer. `searches` and `scripts` tell
    whether our user needs permission to search and to run scripts."""
    client = cast("Any", redis)
    await check_redis_login(redis)
    try:
        info: dict[str, Any] = await _unless_forbidden(client.info()) or {}
        time: tuple[int, int] | None = await _unless_forbidden(client.time())
        refused = await _refused(client, prefix, searches=searches, scripts=scripts)
        persistent = await _persistent(client, info) if info else None
    except (AuthenticationError, NoPermissionError, ResponseError) as error:
        raise LoginRefused(REDIS, str(error)) from error
    except (RedisError, OSError) as error:
        raise Unavailable(REDIS, str(error) or type(error).__name__) from error
    return RedisState(
        has_info=bool(info),
        product=str(info.get("server_name", "redis")).capitalize(),
        version=str(info.get("redis_version", "")),
        now=datetime.fromtimestamp(int(time[0]) + int(time[1]) / 1e6, UTC) if time else None,
        writable=info.get("role") == "master" if info else True,
        eviction=str(info.get("maxmemory_policy", "")),
        persistent=persistent,
        refused=refused,
    )


async def _unless_forbidden(response: Awaitable[Any]) -> Any:
    try:
        return await response
    except NoPermissionError:
        return None


async def _persistent(client: Any, info: dict[str, Any]) -> bool | None:
    if info.get("aof_enabled"):
        return True
    try:
        return bool((await client.config_get("save")).get("save"))
    except ResponseError:  # CONFIG may be forbidden or renamed
        return None


async def _refused(client: Any, prefix: str, *, searches: bool, scripts: bool) -> dict[str, str]:
    commands = dict[str, tuple[str | int, ...]]()
    if searches:
        commands["GEOSEARCH"] = ("GEOSEARCH", f"{prefix}drivers:free", "FROMLONLAT", 0, 0, "BYRADIUS", 1, "km")
    if scripts:
        # As GoFleet calls its scripts; it does not use EVAL, which our user need not be able to call.
        commands["SCRIPT LOAD"], commands["EVALSHA"] = ("SCRIPT LOAD", PROBE_SCRIPT), ("EVALSHA", PROBE_SHA, 0)
    refused = dict[str, str]()
    for name, arguments in commands.items():
        try:
            await client.execute_command(*arguments)
        except ResponseError as error:
            refused[name] = str(error)
    return refused
