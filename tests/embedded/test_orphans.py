"""Servers end with the program that started them, even if it is killed."""

import os
import signal
import tempfile
from pathlib import Path

import psycopg
import pytest

from gofleet.embedded import Postgres, running
from tests.embedded.processes import Program, a_program, alive, eventually


@pytest.mark.parametrize("name", ["postgres", "valkey", "rabbitmq"])
def test_kill_9_of_the_program_ends_its_servers(name: str, tmp_path: Path) -> None:
    with a_program(tmp_path, name) as program:
        family = program.family()
        assert program.pids[name]
        assert alive(family) == family

        program.process.kill()

        eventually(lambda: not alive(family))


def test_the_data_of_a_killed_program_is_kept(tmp_path: Path) -> None:
    with a_program(tmp_path, "postgres") as program:
        program.process.kill()
        program.process.wait(10)

        with running(server := Postgres(tmp_path / "postgres")), psycopg.connect(server.address.url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)


def test_ctrl_c_stops_them_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with a_program("", "postgres", "valkey") as program:
        family = program.family()
        assert len(list(tmp_path.iterdir())) == 2

        program.process.send_signal(signal.SIGINT)
        program.process.wait(15)

        assert not alive(family)
        assert list(tmp_path.iterdir()) == []


def test_a_second_ctrl_c_kills_a_hanging_server(tmp_path: Path) -> None:
    with a_program(tmp_path, "valkey") as program:
        [server] = program.pids["valkey"]
        os.kill(server, signal.SIGSTOP)  # now it cannot hear a SIGTERM

        program.process.send_signal(signal.SIGINT)
        interrupt_until_it_ends(program)

        assert not alive({server})


def interrupt_until_it_ends(program: Program) -> None:
    """Interrupt repeatedly: a second Ctrl-C may arrive before the first was handled."""

    def ended() -> bool:
        program.process.send_signal(signal.SIGINT)
        return program.process.poll() is not None

    eventually(ended, seconds=5)  # less than the 10 s it would wait for the server
