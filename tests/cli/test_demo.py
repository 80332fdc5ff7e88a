"""What `gofleet demo` checks before it starts a server, and its log file."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from gofleet.cli.demo_log import LOG_FILE, RotatingLog, demo_folder
from tests.cli.program import gofleet, line_labels


@pytest.mark.parametrize("setting", ["WEB_SERVER_PORT", "GRPC_PORT", "METRICS_PORT"])
def test_a_port_in_use_is_reported_before_any_server_starts(tmp_path: Path, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = gofleet("demo", "--data", str(tmp_path / "data"), environment={setting: str(port)}, cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert line_labels(ended.stderr) == ["error", "why", "fix"]
    assert f"{setting}={port} is in use" in ended.stderr
    assert f"set {setting} to another port" in ended.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("place", ["/proc/nope", "/dev/null/nope", "file"])
def test_a_folder_that_cannot_be_used_is_reported(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()

    ended = gofleet("demo", "--data", place, cwd=tmp_path)

    assert ended.returncode == 1
    assert line_labels(ended.stderr) == ["error", "why", "fix"]
    assert "the demo cannot use" in ended.stderr
    assert "--data" in ended.stderr


@pytest.mark.parametrize("command", [["certificates", "/proc/nope"], ["demo", "--data", "/proc/nope"]])
def test_no_command_shows_a_traceback_for_a_path(tmp_path: Path, command: list[str]) -> None:
    ended = gofleet(*command, cwd=tmp_path)

    assert "Traceback" not in ended.stderr
    assert line_labels(ended.stderr) == ["error", "why", "fix"]


def test_the_log_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / LOG_FILE
    with RotatingLog(path, bytes_max=1000) as log:
        for number in range(100):
            log.write(f"{number:03} {'x' * 46}\n")
        log.flush()

    assert sorted(file.name for file in tmp_path.iterdir()) == [LOG_FILE, f"{LOG_FILE}.1"]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2 * 1100
    kept = (tmp_path / f"{LOG_FILE}.1").read_text() + path.read_text()
    assert kept.splitlines()[-1].startswith("099 ")
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in tmp_path.iterdir())


def test_a_log_that_exists_is_continued(tmp_path: Path) -> None:
    for text in ("one\n", "two\n"):
        with RotatingLog(tmp_path / LOG_FILE) as log:
            log.write(text)

    assert (tmp_path / LOG_FILE).read_text() == "one\ntwo\n"


def test_the_log_of_a_failed_demo_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), demo_folder(None) as demo, RotatingLog(demo.path / LOG_FILE) as log:
        log.write("the reason\n")
        raise RuntimeError("the demo failed")

    kept = Path(capsys.readouterr().err.removeprefix("log: ").strip())
    try:
        assert kept.read_text() == "the reason\n"
        assert not demo.path.exists()
    finally:
        kept.unlink()


def test_nothing_is_kept_of_a_demo_that_ended_well(capsys: pytest.CaptureFixture[str]) -> None:
    with demo_folder(None) as demo:
        assert stat.S_IMODE(demo.path.stat().st_mode) == 0o700

    assert not demo.path.exists()
    assert capsys.readouterr().err == ""
