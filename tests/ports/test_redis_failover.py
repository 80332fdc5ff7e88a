"""The address of Redis leads to a server that became a replica, then to the promoted one, under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from secrets import token_hex
from typing import Any, cast

import pytest

from gofleet.adapters.redis.connection import check_redis_writes, redis_client
from gofleet.adapters.redis.leases import RedisLeases
from gofleet.adapters.redis.stream_publisher import StreamsPublisher
from gofleet.domain.errors import Unavailable
from gofleet.domain.events import ORDERS_CREATED
from gofleet.domain.messages import Message
from gofleet.embedded import Valkey, all_running
from tests.chaos.proxy import an_edge
from tests.waiting import eventually

HOST = "127.0.0.1"
PASSWORD = token_hex()
BACK_SECONDS = 2.0
CALLERS = 16
Act = Callable[[int], Awaitable[object]]


@dataclass
class Load:
    done: int = 0

    async def run(self, act: Act, stop: asyncio.Event) -> None:
        for number in count():
            if stop.is_set():
                return
            try:
                await act(number)
                self.done += 1
            except Unavailable:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def under_load(act: Callable[[int, int], Awaitable[object]]) -> AsyncGenerator[Load]:
    load, stop = Load(), asyncio.Event()
    callers = [asyncio.create_task(load.run(partial(act, caller), stop)) for caller in range(CALLERS)]
    try:
        await eventually(lambda: load.done > 100)
        yield load
    finally:
        stop.set()
        await asyncio.gather(*callers)


async def set_replication(server: Valkey, *primary: str) -> None:
    """Let the server replicate `primary`, or nothing."""
    async with redis_client(HOST, server.address.port, password=PASSWORD, timeout_seconds=5) as redis:
        await cast("Any", redis).replicaof(*primary or ("NO", "ONE"))


async def fails(check: Callable[[], Awaitable[None]]) -> bool:
    try:
        await check()
    except Unavailable:
        return True
    return False


async def moved(act: Callable[[int, int], Awaitable[object]], check: Callable[[], Awaitable[None]], move: Any) -> None:
    """Demote, promote, let the address lead elsewhere: the calls succeed again soon, and the check knew it."""
    first, second, switch = move
    async with under_load(act) as load:
        await check()
        await set_replication(first, HOST, str(second.address.port))
        await eventually(partial(fails, check))
        await set_replication(second)
        assert await fails(check)

        switch()
        done, moved_at = load.done, time.monotonic()
        await eventually(lambda: load.done > done + 100)

        assert time.monotonic() - moved_at < BACK_SECONDS
        await check()


@pytest.fixture
async def address() -> AsyncGenerator[tuple[int, tuple[Valkey, Valkey, Callable[[], None]]]]:
    """A port that leads to the first server, then to its replica; and what moves it."""
    first, second = (Valkey(durable=False, password=PASSWORD, settings={"masterauth": PASSWORD}) for _ in range(2))
    targets = [first]
    async with all_running(first, second), an_edge("redis", lambda: [targets[-1].address.port]) as edge:
        await set_replication(second, HOST, str(first.address.port))
        yield edge.port, (first, second, lambda: targets.append(second))


async def test_leases_are_taken_again_soon_after_the_address_has_moved(address: Any) -> None:
    port, move = address
    async with redis_client(HOST, port, password=PASSWORD, timeout_seconds=2) as redis:
        leases = RedisLeases(redis, prefix="t:")

        async def act(caller: int, number: int) -> None:
            await leases.acquire(f"{caller}-{number}", "a")

        await moved(act, partial(check_redis_writes, redis, "t:"), move)


async def test_events_are_published_again_soon_after_the_address_has_moved(address: Any) -> None:
    port, move = address
    async with StreamsPublisher(f"redis://:{PASSWORD}@{HOST}:{port}/0", prefix="t:", timeout_seconds=2) as publisher:

        async def act(caller: int, number: int) -> None:
            id = f"{caller}-{number}"
            (error,) = await publisher.publish([Message(id, ORDERS_CREATED, id, 1, b"{}", None)])
            if error:
                raise error

        await moved(act, publisher.check, move)
