"""Streams of orders from a separate api process over a real PostgreSQL."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from gofleet.embedded import Postgres
from gofleet.listening import free_port
from tests.journeys.installation import Installation, an_installation
from tests.ports.proxy import Proxy, a_proxy
from tests.roles.listener import Listener, listening_to
from tests.waiting import eventually

ORDERS = "/api/v1/orders"
GRACE_SECONDS = 30
OrderVersions = list[tuple[str, int]]
"""Ids of orders and their versions, in the order received."""


@pytest.fixture
async def between(postgres_server: Postgres) -> AsyncGenerator[Proxy]:
    """A proxy in front of PostgreSQL."""
    async with a_proxy(postgres_server.address.port) as proxy:
        yield proxy


@pytest.fixture
def alone(postgres_server: Postgres, clean_database: str, between: Proxy, tmp_path: Path) -> Generator[Installation]:
    """An installation with PostgreSQL only: the api needs no more."""
    db = postgres_server.address
    environment = {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(between.port),
        "DB_USER": db.user,
        "DB_PASSWORD": db.password,
        "DB_NAME": str(conninfo_to_dict(clean_database)["dbname"]),
        "WEB_SERVER_PORT": str(free_port("127.0.0.1", 18_200)),
        "GRACE_SECONDS": str(GRACE_SECONDS),
        "STREAM_PAGE": "7",
        "STREAM_WINDOW": "50",
        "STREAM_KEEP_ALIVE_SECONDS": "0.5",
    }
    with an_installation(environment, tmp_path) as started:
        yield started


@pytest.fixture
async def client(alone: Installation) -> AsyncGenerator[httpx.AsyncClient]:
    await asyncio.to_thread(alone.start, "api")
    async with httpx.AsyncClient(base_url=alone.api, timeout=20, trust_env=False) as http:
        yield http


async def lives(http: httpx.AsyncClient, name: str, verbs: tuple[str, ...] = ("cancel",)) -> None:
    """Create an order and apply transitions to it."""
    (await http.post(ORDERS, json={"id": name, "price": 1, "tax": 0})).raise_for_status()
    for verb in verbs:
        (await http.post(f"{ORDERS}/{name}/{verb}")).raise_for_status()


async def next_versions(stream: Listener, count: int) -> OrderVersions:
    return [(data["order_id"], data["sequence"]) for _, data in await stream.events(count)]


def logged(database: str) -> OrderVersions:
    with psycopg.connect(database) as connection:
        return connection.execute("select order_id, version from order_log order by order_id, version").fetchall()


async def test_open_streams_do_not_delay_the_end_of_the_process(client: httpx.AsyncClient, alone: Installation) -> None:
    [api] = alone.processes
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listening_to(client)) for _ in range(3)]
        await lives(client, "o-1")
        assert [await next_versions(stream, 2) for stream in streams] == [[("o-1", 1), ("o-1", 2)]] * 3
        began = time.monotonic()
        api.send_signal(signal.SIGTERM)
        for stream in streams:
            await stream.end()
        code = await asyncio.to_thread(api.wait)
        took = time.monotonic() - began

    assert all(stream.ended for stream in streams)
    assert code == 0
    assert took < GRACE_SECONDS / 6, f"{took:.2f} s"
    assert [event for event in api.events() if event["level"] in {"WARNING", "ERROR"}] == []


async def test_a_stream_disconnected_and_resumed_under_load_misses_and_repeats_nothing(
    client: httpx.AsyncClient, clean_database: str
) -> None:
    dice, received = random.Random(4), list[tuple[str, int]]()  # noqa: S311  no secret

    async def customer(number: int) -> None:
        for order in range(10):
            await lives(client, f"c{number}-{order}")

    async with listening_to(client) as stream:
        last_id, load = stream.last_id, asyncio.gather(*(customer(number) for number in range(20)))
    cuts = 0
    while len(received) < 400:
        async with listening_to(client, last_id=last_id) as stream:
            received += await next_versions(stream, min(dice.randint(1, 60), 400 - len(received)))
            last_id = stream.last_id
            cuts += 1
    await load

    assert sorted(received) == logged(clean_database)
    assert cuts > 5
    for order_id, version in received:  # and of each order in order
        assert version == 1 or received.index((order_id, 1)) < received.index((order_id, 2))
    async with listening_to(client, last_id=last_id) as stream:
        assert await stream.comment() == "still here"  # so nothing is left


async def test_a_stream_resumes_from_an_old_cursor(client: httpx.AsyncClient, clean_database: str) -> None:
    async with listening_to(client) as stream:
        beginning = stream.last_id
    for number in range(60):
        await lives(client, f"o-{number:02}")

    async with (
        listening_to(client, last_id=beginning) as whole,
        listening_to(client, last_id=beginning, order_id="o-30") as one,
        listening_to(client, last_id=beginning, type="orders.cancelled") as ends,
    ):
        assert sorted(await next_versions(whole, 120)) == logged(clean_database)
        assert await next_versions(one, 2) == [("o-30", 1), ("o-30", 2)]
        assert await next_versions(ends, 60) == [(f"o-{number:02}", 2) for number in range(60)]
        await lives(client, "new")
        assert [await next_versions(stream, count) for stream, count in ((whole, 2), (ends, 1))] == [
            [("new", 1), ("new", 2)],
            [("new", 2)],
        ]


async def test_an_outage_of_the_database_ends_no_stream(client: httpx.AsyncClient, between: Proxy) -> None:
    async with listening_to(client) as stream:
        await lives(client, "o-1")
        assert await next_versions(stream, 2) == [("o-1", 1), ("o-1", 2)]
        await between.cut()
        assert (await client.get(f"{ORDERS}/o-1/events")).status_code == 503
        assert await stream.comment() == "still here"
        await between.allow()

        async def accepted() -> bool:
            return (await client.post(ORDERS, json={"id": "o-2", "price": 1, "tax": 0})).is_success

        await eventually(accepted, within=20)
        assert await next_versions(stream, 1) == [("o-2", 1)]


async def test_a_long_transaction_loses_no_event(client: httpx.AsyncClient, clean_database: str) -> None:
    async with listening_to(client) as stream, await psycopg.AsyncConnection.connect(clean_database) as slow:
        await slow.execute("insert into orders (id, price, tax, final_price) values ('slow', 1, 0, 1)")
        await lives(client, "quick")
        assert await stream.comment() == "still here"
        await slow.commit()

        assert await next_versions(stream, 3) == [("slow", 1), ("quick", 1), ("quick", 2)]
