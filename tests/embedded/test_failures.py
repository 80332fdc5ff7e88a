"""What goes wrong is said with its reason and its remedy."""

import os
import socket
from pathlib import Path

import pytest

from gofleet.embedded import EmbeddedError, Postgres, RabbitMQ, Valkey, rabbitmq, resources, running
from gofleet.embedded.resources import HOST, free_ports
from tests.embedded.processes import a_program


def test_a_failing_server_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with running(Postgres(tmp_path)):
        pass
    with (tmp_path / "data" / "postgresql.conf").open("a") as conf:
        conf.write("nonsense = 1\n")

    with (
        pytest.raises(EmbeddedError, match='unrecognized configuration parameter "nonsense"') as caught,
        running(Postgres(tmp_path)),
    ):
        pass

    assert caught.value.what == "PostgreSQL did not start"
    assert str(tmp_path / "log") in caught.value.fix


def test_a_directory_serves_one_program_at_a_time(tmp_path: Path) -> None:
    with a_program(tmp_path, "valkey") as program:
        with pytest.raises(EmbeddedError, match="is in use") as caught, running(Valkey(tmp_path / "valkey")):
            pass

        assert str(program.process.pid) in caught.value.why


def test_the_lock_of_a_program_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("999999999\n")

    with running(Valkey(tmp_path)):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_port_used_by_another_program_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PORT_SECONDS", 0.05)
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = int(other.getsockname()[1])

        with pytest.raises(EmbeddedError, match=f"cannot listen on .*{port}"), running(Valkey(tmp_path, port=port)):
            pass


@pytest.mark.parametrize("kind", [Postgres, Valkey])
def test_a_port_lost_between_choosing_and_listening_is_replaced(
    kind: type[Postgres] | type[Valkey], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = int(other.getsockname()[1])
        choices = [[taken], free_ports(1)]
        monkeypatch.setattr(resources, "is_free", lambda port: True)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
        monkeypatch.setattr(resources, "free_ports", lambda count: choices.pop(0))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]

        with running(server := kind(durable=False)):
            assert server.address.port != taken


def test_a_missing_rabbitmq_is_reported_with_its_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "BIN_PATTERNS", ("/nowhere",))

    with (
        pytest.raises(EmbeddedError, match="apt-get install -y --no-install-recommends rabbitmq-server"),
        running(RabbitMQ(tmp_path)),
    ):
        pass


def test_a_directory_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(EmbeddedError, match="choose a directory you can write to"),
        running(Valkey(tmp_path / "file" / "data")),
    ):
        pass


def test_a_chosen_port_is_never_given_to_an_outgoing_connection() -> None:
    """While a server restarts, its port has no listener: a connection that comes from it would keep the server down."""
    ports = free_ports(200)

    assert len(set(ports)) == 200
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not [port for port in ports if first <= port <= last]
