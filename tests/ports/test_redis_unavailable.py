"""Redis down, frozen, read-only or restarting: every call raises `Unavailable` soon, and recovers afterwards."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from gofleet.adapters.redis.connection import redis_client
from gofleet.adapters.redis.leases import RedisLeases
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.driver import AreaQuery, Driver
from gofleet.domain.errors import Unavailable
from gofleet.domain.place import BoundingBox
from gofleet.embedded import Valkey
from gofleet.ports import Lease, LeaseState, Search
from tests.makers import CENTRE, a_position

SOON_SECONDS = 3.0
HOST = "127.0.0.1"


def every_act(redis: Redis) -> dict[str, Callable[[], Awaitable[object]]]:
    leases = RedisLeases(redis, prefix="t:")
    positions = RedisPositions(redis, prefix="t:", stale_seconds=60, claim_ms=1000)
    return {
        "acquire": lambda: leases.acquire("e", "a"),
        "take_over": lambda: leases.take_over("e", "a", Lease(LeaseState.BUSY, 1.0, "p:b")),
        "finish": lambda: leases.finish("e", "a"),
        "release": lambda: leases.release("e", "a"),
        "claim_nearest": lambda: positions.claim_nearest(Search("o", CENTRE, 5)),
        "move": lambda: positions.update_positions([a_position()]),
        "register": lambda: positions.register(Driver("ana", "Ana")),
        "occupy": lambda: positions.occupy("ana", "o", 2),
        "free": lambda: positions.free("ana", "o", 3),
        **{f"look {name}": look for name, look in looks(positions).items()},
    }


def looks(positions: RedisPositions) -> dict[str, Callable[[], Awaitable[object]]]:
    """The read operations."""
    return {
        "nearest": lambda: positions.nearest(CENTRE, 5, 5),
        "within": lambda: positions.within(AreaQuery(BoundingBox(-1, -1, 1, 1))),
        "locate": lambda: positions.locate(["ana"]),
    }


LOOKS = ["look nearest", "look within", "look locate"]
ACTS = ["acquire", "take_over", "finish", "release", "claim_nearest", "move", "register", "occupy", "free", *LOOKS]


@pytest.fixture
def mute_port() -> Generator[int]:
    """A port that accepts and never answers."""
    with socket.create_server((HOST, 0)) as mute:
        yield mute.getsockname()[1]


@pytest.fixture
async def valkey() -> AsyncGenerator[Valkey]:
    """A private server that a test may stop."""
    server = Valkey(durable=False)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.mark.parametrize("act", ACTS)
async def test_a_closed_port_is_unavailable(act: str, unused_tcp_port: int) -> None:
    async with redis_client(HOST, unused_tcp_port) as redis:
        with pytest.raises(Unavailable, match="redis"):
            await every_act(redis)[act]()


@pytest.mark.parametrize("act", ACTS)
async def test_a_server_that_never_answers_is_unavailable_soon(act: str, mute_port: int) -> None:
    began = time.monotonic()
    async with redis_client(HOST, mute_port, timeout_seconds=0.1) as redis:
        with pytest.raises(Unavailable, match="redis"):
            await every_act(redis)[act]()

    assert time.monotonic() - began < SOON_SECONDS


async def test_after_a_restart_the_scripts_are_loaded_again(valkey: Valkey) -> None:
    async with redis_client(HOST, valkey.address.port, password=valkey.address.password, timeout_seconds=5) as redis:
        leases = RedisLeases(redis, prefix="t:")
        await leases.acquire("e", "a")
        valkey.kill()
        with pytest.raises(Unavailable):
            await leases.acquire("e", "a")
        await valkey.start()

        assert (await leases.acquire("e", "b")).state is LeaseState.ACQUIRED


async def test_a_connection_that_died_in_the_pool_is_replaced(valkey: Valkey) -> None:
    async with redis_client(HOST, valkey.address.port, password=valkey.address.password, timeout_seconds=5) as redis:
        leases = RedisLeases(redis, prefix="t:")
        await leases.acquire("e", "a")
        await valkey.stop()
        await valkey.start()

        assert (await leases.acquire("e", "b")).state is LeaseState.ACQUIRED


async def test_a_read_only_server_is_unavailable(valkey: Valkey, unused_tcp_port: int) -> None:
    async with redis_client(HOST, valkey.address.port, password=valkey.address.password, timeout_seconds=5) as redis:
        await redis.replicaof(HOST, str(unused_tcp_port))  # pyright: ignore[reportUnknownMemberType]
        acts = every_act(redis)
        reading = {"take_over", "release", "claim_nearest"}  # they write nothing here
        for writing in [act for act in acts if act not in reading and not act.startswith("look")]:
            with pytest.raises(Unavailable):
                await acts[writing]()


async def test_more_callers_than_connections_wait_for_each_other(valkey_server: Valkey) -> None:
    at = valkey_server.address
    async with redis_client(HOST, at.port, password=at.password, timeout_seconds=5, max_connections=2) as redis:
        leases = RedisLeases(redis, prefix=f"t-{uuid4().hex}:")

        answers = await asyncio.gather(*(leases.acquire(f"e-{number}", "a") for number in range(50)))

    assert {answer.state for answer in answers} == {LeaseState.ACQUIRED}
