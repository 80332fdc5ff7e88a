"""Lua scripts: one file, one atomic act on the server."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gofleet.domain.errors import Unavailable


class Script:
    """The files `lua/<name>.lua`, joined; sent once, then called by their hash."""

    def __init__(self, redis: Redis, *names: str) -> None:
        folder = files("gofleet.adapters.redis") / "lua"
        text = "".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
        self._run = redis.register_script(text)

    async def __call__(self, keys: Sequence[str], *args: str | float) -> list[str | int]:
        """What it returns, as a list; `Unavailable` when Redis is away, starting, read-only, full, ..."""
        with telling_outages():
            answer = cast("object", await self._run(keys=keys, args=args))
        return cast("list[str | int]", answer) if isinstance(answer, list) else []


def literally(text: str) -> str:
    """`text` as a part of a glob that means itself."""
    return re.sub(r"([\[\]*?\\^])", r"\\\1", text)


@contextmanager
def telling_outages() -> Generator[None]:
    """`Unavailable` for whatever Redis answers, or does not."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable("redis", str(error) or type(error).__name__) from error
