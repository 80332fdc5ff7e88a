"""Lua scripts: one file, one atomic act on the server; those called at the same time share one write and one read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha1
from importlib.resources import files
from math import inf
from typing import Any, cast

import hiredis
import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from gofleet.adapters.batcher import Batcher
from gofleet.domain.errors import Unavailable
from gofleet.telemetry.tracing import client_span

Answer = list[str | int]
Words = tuple[str | bytes | float, ...]
MOST = 32
"""Scripts in one write. Redis runs them in a row, and they are to be short ones: a millisecond or two together."""
AT_ONCE = 2
"""Such writes under way, each on a connection of its own: whoever comes while one takes long need not wait for it."""


@dataclass(frozen=True)
class _Call:
    sha: str
    text: str
    words: Words


class ScriptPipeline:
    """What its scripts are called over. Those that may hold each other up for long belong on lines of their own."""

    def __init__(self, redis: Redis, *, most: int = MOST, at_once: int = AT_ONCE) -> None:
        self._pool = cast("Any", redis.connection_pool)  # its own types are open in places
        self.run = Batcher(self._all, max_size=most, concurrency=at_once)

    async def _all(self, calls: Sequence[_Call]) -> Sequence[Answer | Exception]:
        with translate_redis_errors():
            answers = await self._sent(calls)
            unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if unknown:  # a new server, or one that has forgotten: the others have run, and do not run again
                again = [calls[number] for number in unknown]
                for number, answer in zip(unknown, await self._sent(again, load=True), strict=True):
                    answers[number] = answer
        return [_told(answer) for answer in answers]

    async def _sent(self, calls: Sequence[_Call], *, load: bool = False) -> list[object]:
        texts = {call.text for call in calls} if load else set[str]()
        commands: list[Words] = [("SCRIPT", "LOAD", text) for text in texts]
        commands += [("EVALSHA", call.sha, *call.words) for call in calls]
        packed = b"".join(map(_packed, commands))
        connection = await self._pool.get_connection()
        try:
            exchange, drop = partial(_exchanged, connection, packed, len(commands)), partial(_dropped, connection)
            answers = await connection.retry.call_with_retry(exchange, drop)
        finally:
            await self._pool.release(connection)
        return answers[len(texts) :]


# Its stubs say that it takes a tuple of one.
_packed = cast("Callable[[Words], bytes]", cast("Any", hiredis).pack_command)


async def _exchanged(connection: Any, packed: bytes, count: int) -> list[object]:
    """The answers to `count` commands, errors among them.

    As redis-py's pipeline, which looks at every command and every answer more often than that: it takes twice as long.
    Whatever interrupts a connection while it reads closes it, so that nobody gets an answer to what another has asked.
    """
    await connection.send_packed_command([packed])
    answers = list[object]()
    async with asyncio.timeout(connection.socket_timeout):
        for _ in range(count):
            try:
                answers.append(await connection.read_response(timeout=inf))  # within the limit that is set here
            except ResponseError as error:
                answers.append(error)
    return answers


async def _dropped(connection: Any, _: Exception) -> None:
    await connection.disconnect()


class Script:
    """The files `lua/<name>.lua`, joined; sent once, then called by their hash, over `line`."""

    def __init__(self, line: ScriptPipeline, *names: str) -> None:
        folder = files("gofleet.adapters.redis") / "lua"
        self._text = "".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
        self._sha = sha1(self._text.encode(), usedforsecurity=False).hexdigest()
        self._line = line
        self._name = names[-1]
        calls = sorted(set(re.findall(r"""redis\.p?call\(["'](\w+)""", self._text)))
        self._attributes = {"db.stored_procedure.name": names[-1], "gofleet.redis.commands": " ".join(calls)}

    async def __call__(self, keys: Sequence[str], *args: str | bytes | float) -> Answer:
        """What it returns, as a list; `Unavailable` when Redis is away, starting, read-only, full, ..."""
        with redis_span("EVALSHA", self._name, **self._attributes):
            return await self._line.run(_Call(self._sha, self._text, (len(keys), *keys, *args)))


def decode_rows(answer: Answer) -> list[Any]:
    """The values that a script gave as JSON; none if it gave nothing."""
    return msgspec.json.decode(str(answer[0]), type=list[Any]) if answer else []


def escape_glob(text: str) -> str:
    """`text` as a part of a glob that means itself."""
    return re.sub(r"([\[\]*?\\^])", r"\\\1", text)


@contextmanager
def redis_span(command: str, about: str = "", **attributes: str) -> Generator[None]:
    """A span around a command, never with its values, which are positions; `Unavailable` as below."""
    name = f"{command} {about}".rstrip()
    attributes |= {"db.system.name": "redis", "db.operation.name": command, "db.query.summary": name}
    with translate_redis_errors(), client_span(name, **attributes):
        yield


@contextmanager
def translate_redis_errors() -> Generator[None]:
    """`Unavailable` for whatever Redis answers, or does not."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise _unavailable(error) from error


def _told(answer: object) -> Answer | Exception:
    if isinstance(answer, RedisError):
        unavailable = _unavailable(answer)
        unavailable.__cause__ = answer
        return unavailable
    return cast("Answer", answer) if isinstance(answer, list) else []


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable("redis", str(error) or type(error).__name__)
