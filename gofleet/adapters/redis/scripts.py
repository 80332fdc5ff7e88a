"""Lua scripts, each file one atomic operation on the server; concurrent calls share one write and one read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from gofleet.adapters.batcher import Batcher
from gofleet.adapters.redis.connection import Command, execute_batch, redis_span, to_unavailable, translate_redis_errors

Response = list[str | int]
BATCH_MAX = 32
"""Scripts in one write. Redis runs them in a row, so they must be short: one or two milliseconds together."""
CONCURRENCY = 2
"""Batches in flight, each on its own connection: a call need not wait for a slow batch."""


@dataclass(frozen=True)
class _Call:
    sha: str
    text: str
    arguments: Command


class ScriptPipeline:
    """Batches script calls. Scripts that could delay each other for long belong to different pipelines."""

    def __init__(self, redis: Redis, *, batch_max: int = BATCH_MAX, concurrency: int = CONCURRENCY) -> None:
        self._redis = redis
        self.run = Batcher(self._run_all, max_size=batch_max, concurrency=concurrency)

    async def _run_all(self, calls: Sequence[_Call]) -> Sequence[Response | Exception]:
        with translate_redis_errors():
            responses = await self._execute(calls)
            unknown = [index for index, response in enumerate(responses) if isinstance(response, NoScriptError)]
            if unknown:  # a restarted server: only these calls are repeated, the others have run
                repeated = await self._execute([calls[index] for index in unknown], load=True)
                for index, response in zip(unknown, repeated, strict=True):
                    responses[index] = response
        return [_decode_response(response) for response in responses]

    async def _execute(self, calls: Sequence[_Call], *, load: bool = False) -> list[object]:
        texts = {call.text for call in calls} if load else set[str]()
        commands: list[Command] = [("SCRIPT", "LOAD", text) for text in texts]
        commands += [("EVALSHA", call.sha, *call.arguments) for call in calls]
        return (await execute_batch(self._redis, commands))[len(texts) :]


class Script:
    """The files `lua/<name>.lua`, joined; loaded once, then called by their hash through `pipeline`."""

    def __init__(self, pipeline: ScriptPipeline, *names: str) -> None:
        folder = files("gofleet.adapters.redis") / "lua"
        self._text = "".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
        self._sha = sha1(self._text.encode(), usedforsecurity=False).hexdigest()
        self._pipeline = pipeline
        self._name = names[-1]
        commands = sorted(set(re.findall(r"""redis\.p?call\(["'](\w+)""", self._text)))
        self._attributes = {"db.stored_procedure.name": names[-1], "gofleet.redis.commands": " ".join(commands)}

    async def __call__(self, keys: Sequence[str], *args: str | bytes | float) -> Response:
        """The script's result as a list; `Unavailable` when Redis is down, starting, read-only, full, ..."""
        with redis_span("EVALSHA", self._name, **self._attributes):
            return await self._pipeline.run(_Call(self._sha, self._text, (len(keys), *keys, *args)))


def decode_rows(response: Response) -> list[Any]:
    """The values that a script returned as JSON; empty if it returned nothing."""
    return msgspec.json.decode(str(response[0]), type=list[Any]) if response else []


def _decode_response(response: object) -> Response | Exception:
    if isinstance(response, RedisError):
        unavailable = to_unavailable(response)
        unavailable.__cause__ = response
        return unavailable
    return cast("Response", response) if isinstance(response, list) else []
