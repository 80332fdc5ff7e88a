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
from gofleet.telemetry.tracing import step


class Script:
    """The files `lua/<name>.lua`, joined; sent once, then called by their hash."""

    def __init__(self, redis: Redis, *names: str) -> None:
        folder = files("gofleet.adapters.redis") / "lua"
        text = "".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
        self._run = redis.register_script(text)
        self._name = names[-1]
        calls = sorted(set(re.findall(r"""redis\.p?call\(["'](\w+)""", text)))
        self._attributes = {"db.stored_procedure.name": names[-1], "gofleet.redis.commands": " ".join(calls)}

    async def __call__(self, keys: Sequence[str], *args: str | float) -> list[str | int]:
        """What it returns, as a list; `Unavailable` when Redis is away, starting, read-only, full, ..."""
        with asking("EVALSHA", self._name, **self._attributes):
            answer = cast("object", await self._run(keys=keys, args=args))
        return cast("list[str | int]", answer) if isinstance(answer, list) else []


def literally(text: str) -> str:
    """`text` as a part of a glob that means itself."""
    return re.sub(r"([\[\]*?\\^])", r"\\\1", text)


@contextmanager
def asking(command: str, about: str = "", **attributes: str) -> Generator[None]:
    """A span around a command, never with its values, which are positions; `Unavailable` as below."""
    name = f"{command} {about}".rstrip()
    attributes |= {"db.system.name": "redis", "db.operation.name": command, "db.query.summary": name}
    with telling_outages(), step(name, **attributes):
        yield


@contextmanager
def telling_outages() -> Generator[None]:
    """`Unavailable` for whatever Redis answers, or does not."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable("redis", str(error) or type(error).__name__) from error
