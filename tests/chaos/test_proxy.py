"""The tools of the rig work: without that, a passed trial proves nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest

from gofleet.embedded import Postgres
from tests.chaos.proxy import Connection, Edge, an_edge
from tests.chaos.wire import Statements
from tests.waiting import eventually

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CONNECTIONS: list[Streams] = []
"""All that a test has opened, closed with its server."""


@asynccontextmanager
async def echo() -> AsyncGenerator[Edge]:
    """An edge to a server that says everything back."""

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(back, "127.0.0.1")
    async with server, an_edge("client>echo", [int(server.sockets[0].getsockname()[1])]) as edge:
        try:
            yield edge
        finally:
            for _, writer in CONNECTIONS:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
            CONNECTIONS.clear()


async def connected(edge: Edge) -> Streams:
    streams = await asyncio.open_connection("127.0.0.1", edge.port)
    CONNECTIONS.append(streams)
    return streams


async def says(streams: Streams, text: bytes, within: float = 2.0) -> bytes:
    """What comes back; TimeoutError when nothing does."""
    reader, writer = streams
    writer.write(text)
    async with asyncio.timeout(within):
        return await reader.readexactly(len(text))


async def test_it_forwards_everything_and_delays_on_request() -> None:
    async with echo() as edge:
        streams = await connected(edge)
        assert await says(streams, b"hello") == b"hello"
        edge.slow(0.3)
        started = time.monotonic()
        assert await says(streams, b"slower") == b"slower"
        assert 0.29 <= time.monotonic() - started < 1.5


@pytest.mark.parametrize(("up", "down"), [(True, True), (True, False), (False, True)])
async def test_half_open_says_nothing_until_it_is_healed(up: bool, down: bool) -> None:
    async with echo() as edge:
        old = await connected(edge)
        edge.silence(up=up, down=down)
        new = await connected(edge)  # is accepted as if all were well
        for streams in (old, new):
            with pytest.raises(TimeoutError):
                await says(streams, b"hello", within=0.2)
        await edge.heal()
        assert await old[0].readexactly(5) == await new[0].readexactly(5) == b"hello"


async def test_what_was_lost_stays_lost_and_healing_resets() -> None:
    async with echo() as edge:
        streams = await connected(edge)
        assert await says(streams, b"hello") == b"hello"
        edge.lose(up=False)
        with pytest.raises(TimeoutError):
            await says(streams, b"into the dark", within=0.2)
        await edge.heal()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await says(streams, b"again")


async def test_a_reset_is_one_and_a_close_is_none() -> None:
    async with echo() as edge:
        rude, kind = await connected(edge), await connected(edge)
        for streams in (rude, kind):
            assert await says(streams, b"x") == b"x"
        edge.reset()
        with pytest.raises(ConnectionResetError):
            await rude[0].read(1)
        late = await connected(edge)
        assert await says(late, b"x") == b"x"
        edge.drop()
        assert await late[0].read(1) == b""


async def test_cut_refuses_and_heal_takes_the_same_port_again() -> None:
    async with echo() as edge:
        port = edge.port
        edge.cut()
        with pytest.raises(ConnectionRefusedError):
            await connected(edge)
        await edge.heal()
        assert edge.port == port
        streams = await connected(edge)
        assert await says(streams, b"x") == b"x"


async def test_a_doomed_write_is_committed_and_its_answer_is_lost(postgres_server: Postgres) -> None:
    at = postgres_server.address
    seen: list[str] = []

    def spy(connection: Connection, data: bytes) -> None:
        statements = connection.memory.setdefault("statements", Statements())
        assert isinstance(statements, Statements)
        for sql in statements.feed(data):
            seen.append(sql)
            connection.doomed = connection.doomed or "insert into doomed" in sql

    async with an_edge("test>postgres", [at.port]) as edge:
        edge.on_up = spy
        url = f"postgresql://{at.user}:{at.password}@127.0.0.1:{edge.port}/{at.database}?sslmode=disable"
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("create table if not exists doomed (n int)")
            for _ in range(2):
                await connection.execute("select count(*) from doomed where n > %s", [0], prepare=True)
            with pytest.raises(psycopg.OperationalError):
                await connection.execute("insert into doomed values (%s)", [1], prepare=True)
        edge.on_up = None

        async def committed() -> bool:
            async with await psycopg.AsyncConnection.connect(at.url + "?sslmode=disable", autocommit=True) as other:
                row = await (await other.execute("select count(*) from doomed")).fetchone()
            return row == (1,)

        try:
            await eventually(committed)
        finally:
            async with await psycopg.AsyncConnection.connect(at.url + "?sslmode=disable", autocommit=True) as other:
                await other.execute("drop table doomed")
    assert [sql for sql in seen if sql.startswith("select count")] == ["select count(*) from doomed where n > $1"] * 2
