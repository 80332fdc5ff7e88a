"""`gofleet run` reports an address on which it cannot listen, with its settings, before it starts anything."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gofleet import listening
from gofleet.embedded.resources import free_ports
from gofleet.first_contact import StartError
from gofleet.listening import Listener, bind_error, check_listener, check_listeners, free_port
from gofleet.roles import ORDER
from gofleet.settings import load
from tests.cli.program import gofleet, line_labels


def free_addresses() -> dict[str, str]:
    names = ("WEB_SERVER_PORT", "GRPC_PORT", "METRICS_PORT")
    return dict(zip(names, map(str, free_ports(len(names))), strict=True))


@pytest.mark.parametrize(
    ("setting", "role"), [("WEB_SERVER_PORT", "api"), ("GRPC_PORT", "all"), ("METRICS_PORT", "relay")]
)
def test_run_reports_a_port_in_use_first(tmp_path: Path, setting: str, role: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        given = {**free_addresses(), setting: str(port), "DB_PORT": "1"}
        ended = gofleet("run", "--role", role, environment=given, cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert line_labels(ended.stderr) == ["error", "why", "fix"]
    assert f"{setting}={port} is in use" in ended.stderr
    assert f"set {setting} to another port" in ended.stderr


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid"])
@pytest.mark.parametrize("setting", ["WEB_SERVER_HOST", "GRPC_HOST", "METRICS_HOST"])
def test_a_host_that_is_not_this_machine_is_reported_with_its_setting(setting: str, host: str) -> None:
    with pytest.raises(StartError, match=f"cannot listen on {host}") as error:
        check_listeners(load({**free_addresses(), setting: host}, dotenv=None), ORDER)

    assert f"{setting}={host}" in error.value.why
    assert setting in error.value.fix


def test_a_default_metrics_port_in_use_moves_unless_none_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        moving = Listener("METRICS_HOST", "METRICS_PORT", "127.0.0.1", port, next_port_serves=True)
        check_listener(moving)
        monkeypatch.setattr(listening, "NEXT_PORTS", 1)
        with pytest.raises(StartError, match=f"METRICS_PORT={port} is in use"):
            check_listener(moving)


def test_two_listeners_of_one_process_need_two_ports() -> None:
    given = free_addresses()
    settings = load({**given, "WEB_SERVER_PORT": given["GRPC_PORT"]}, dotenv=None)

    check_listeners(settings, ["api"])
    with pytest.raises(StartError, match="WEB_SERVER_PORT and GRPC_PORT are the same"):
        check_listeners(settings, ["api", "fleet"])


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "127.0.0.1", "localhost"])  # noqa: S104
def test_a_host_on_which_a_server_can_listen_is_accepted(host: str) -> None:
    assert bind_error(host, free_port("127.0.0.1", 23_500)) is None
