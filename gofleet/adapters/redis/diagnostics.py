"""What a Redis or Valkey is like; nothing is changed."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from gofleet.domain.errors import LoginRefused, Unavailable

REDIS = "Redis"
SCRIPT = "return 1"
SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class RedisState:
    """`product` is Redis or Valkey; `version` is of Redis, whose commands a Valkey speaks; `refused` tells which
    commands that we need are not taken, and why; `persistent` is None if it does not tell. To a user who may not ask it
    tells nothing (`told`), and perhaps not even the time."""

    told: bool
    product: str
    version: str
    now: datetime | None
    writable: bool
    eviction: str
    persistent: bool | None
    refused: dict[str, str]


async def redis_state(redis: Redis, prefix: str, *, searches: bool = True, scripts: bool = True) -> RedisState:
    """`LoginRefused` if it does not let us in, `Unavailable` without an answer. Our user must be able to search if it
    `searches`, and to run scripts if it has any."""
    client = cast("Any", redis)
    try:
        await client.ping()
        info: dict[str, Any] = await _unless_forbidden(client.info()) or {}
        time: tuple[int, int] | None = await _unless_forbidden(client.time())
        refused = await _refused(client, prefix, searches=searches, scripts=scripts)
        persistent = await _persistent(client, info) if info else None
    except (AuthenticationError, NoPermissionError, ResponseError) as error:
        raise LoginRefused(REDIS, str(error)) from error
    except (RedisError, OSError) as error:
        raise Unavailable(REDIS, str(error) or type(error).__name__) from error
    return RedisState(
        told=bool(info),
        product=str(info.get("server_name", "redis")).capitalize(),
        version=str(info.get("redis_version", "")),
        now=datetime.fromtimestamp(int(time[0]) + int(time[1]) / 1e6, UTC) if time else None,
        writable=info.get("role") == "master" if info else True,
        eviction=str(info.get("maxmemory_policy", "")),
        persistent=persistent,
        refused=refused,
    )


async def _unless_forbidden(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except NoPermissionError:
        return None


async def _persistent(client: Any, info: dict[str, Any]) -> bool | None:
    if info.get("aof_enabled"):
        return True
    try:
        return bool((await client.config_get("save")).get("save"))
    except ResponseError:  # it may be forbidden, or renamed
        return None


async def _refused(client: Any, prefix: str, *, searches: bool, scripts: bool) -> dict[str, str]:
    asked = dict[str, tuple[str | int, ...]]()
    if searches:
        asked["GEOSEARCH"] = ("GEOSEARCH", f"{prefix}drivers:free", "FROMLONLAT", 0, 0, "BYRADIUS", 1, "km")
    if scripts:
        # As we send our own; EVAL is not among them, and a user need not be able to use it.
        asked["SCRIPT LOAD"], asked["EVALSHA"] = ("SCRIPT LOAD", SCRIPT), ("EVALSHA", SHA, 0)
    refused = dict[str, str]()
    for name, words in asked.items():
        try:
            await client.execute_command(*words)
        except ResponseError as error:
            refused[name] = str(error)
    return refused
