"""A private server starts, keeps its data, and leaves no process or temporary directory behind."""

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from gofleet.embedded import EmbeddedError, Postgres, Server, Valkey, all_running, running
from tests.embedded.processes import alive, eventually


def a_client(server: Valkey) -> redis.Redis:
    """A client of the server, to be closed by `with`."""
    at = server.address
    return redis.Redis(host=at.host, port=at.port, password=at.password)


def test_postgres_offers_an_empty_utf8_database(tmp_path: Path) -> None:
    with (
        running(server := Postgres(durable=False, max_connections=17)),
        psycopg.connect(server.address.url) as connection,
    ):
        found = connection.execute(
            "select current_user, current_database(), getdatabaseencoding(),"
            " (select datcollate from pg_database where datname = current_database()),"
            " current_setting('max_connections'), current_setting('fsync')"
        ).fetchone()

    assert found == ("gofleet", "gofleet", "UTF8", "C", "17", "off")


def test_settings_override_the_defaults_of_postgres() -> None:
    server = Postgres(durable=False, settings={"track_commit_timestamp": "on", "shared_buffers": "16MB"})
    with running(server), psycopg.connect(server.address.url) as connection:
        found = connection.execute(
            "select current_setting('track_commit_timestamp'), current_setting('shared_buffers')"
        )

        assert found.fetchone() == ("on", "16MB")


def test_valkey_answers() -> None:
    with running(server := Valkey(durable=False)), a_client(server) as client:
        client.geoadd("drivers", (-46.6, -23.5, "ana"))

        assert client.geosearch("drivers", longitude=-46.6, latitude=-23.5, radius=1, unit="km") == [b"ana"]


def test_postgres_keeps_its_data_through_a_stop_and_a_kill(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "pg")
    with running(server), psycopg.connect(server.address.url) as connection:
        connection.execute("create table kept as select 1 as line")
    with running(server):
        before = server.address
        with psycopg.connect(server.address.url) as connection:
            connection.execute("insert into kept values (2)")
        server.kill()
        asyncio.run(server.start())

        assert server.address == before
        with psycopg.connect(server.address.url) as connection:
            assert connection.execute("select line from kept order by 1").fetchall() == [(1,), (2,)]


def test_valkey_keeps_its_data_through_a_stop_and_a_kill(tmp_path: Path) -> None:
    server = Valkey(tmp_path / "vk")
    with running(server), a_client(server) as client:
        client.set("kept", "1")
    with running(server):
        before = server.address
        with a_client(server) as client:
            client.incr("kept")
        server.kill()
        asyncio.run(server.start())

        assert server.address == before
        with a_client(server) as client:
            assert client.get("kept") == b"2"


@pytest.mark.parametrize("kind", [Postgres, Valkey])
def test_a_temporary_directory_is_removed_at_the_stop(kind: type[Postgres] | type[Valkey]) -> None:
    server = kind(durable=False)
    with running(server):
        directory, pids = server.log.parent, set(server.pids)
        assert directory.is_dir()

    assert not directory.exists()
    assert not alive(pids)


def test_an_exception_in_the_block_stops_the_servers() -> None:
    servers: list[Server[Any]] = [Postgres(durable=False), Valkey(durable=False)]
    pids: set[int] = set()

    with pytest.raises(ZeroDivisionError), running(*servers):
        pids |= {pid for server in servers for pid in server.pids}
        _ = 1 // 0

    assert len(pids) == 2
    assert not alive(pids)


async def test_each_server_is_reported_as_soon_as_it_answers() -> None:
    ready: list[str] = []

    async with all_running(Postgres(durable=False), Valkey(durable=False), on_ready=lambda s: ready.append(s.name)):
        assert ready == ["Valkey", "PostgreSQL"]


async def test_a_cancelled_start_leaves_no_process() -> None:
    server = Postgres(durable=False)
    start = asyncio.create_task(server.start())
    while not server.pids:  # noqa: ASYNC110  initdb, a process, sets no event
        await asyncio.sleep(0.01)
    pids, directory = set(server.pids), server.log.parent

    start.cancel()
    await asyncio.wait({start})

    assert start.cancelled()
    assert not directory.exists()
    eventually(lambda: not alive(pids))


def test_a_start_continues_an_unfinished_one() -> None:
    server = Valkey(durable=False)

    server.begin()
    pids = server.pids

    with running(server):
        assert server.pids == pids
        with a_client(server) as client:
            assert client.get("nothing") is None


def test_an_unfinished_start_can_be_stopped() -> None:
    server = Valkey(durable=False)
    server.begin()
    pids = set(server.pids)

    asyncio.run(server.stop())

    assert not alive(pids)


def test_servers_have_their_own_session_so_ctrl_c_does_not_reach_them() -> None:
    with running(server := Valkey(durable=False)):
        assert os.getsid(server.pids[0]) == server.pids[0]


def test_the_mode_of_the_callers_directory_is_kept(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    data = private / "data"
    data.mkdir(mode=0o700)

    with running(Postgres(data, durable=False)):
        pass

    assert [stat.S_IMODE(path.stat().st_mode) for path in (private, data)] == [0o700, 0o700]


def test_a_server_has_no_address_before_its_start() -> None:
    with pytest.raises(EmbeddedError, match="not started"):
        _ = Valkey().address
