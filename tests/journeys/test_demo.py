"""`gofleet demo` lives through frozen servers and a frozen machine, and other clients and commands can join in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gofleet.embedded.postgres import bin_dir_from_wheel
from gofleet.listening import free_port
from tests.embedded.processes import parents_by_pid

FROZEN_SECONDS = 8.0
FIRST_PORTS = {"WEB_SERVER_PORT": 18_400, "GRPC_PORT": 15_400, "METRICS_PORT": 12_400}
FOREIGN_ORDERS = 20
PSQL = bin_dir_from_wheel() / "psql"


@dataclass
class RunningDemo:
    """A demo that prints JSON; `lines` are the ones so far."""

    popen: subprocess.Popen[str]
    folder: Path
    lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def last(self, event: str) -> dict[str, Any]:
        """The latest line of that kind; empty without one."""
        return next((line for line in reversed(self.lines) if line["event"] == event), dict[str, Any]())

    @property
    def delivered(self) -> int:
        return self.last("progress").get("delivered", 0)

    @property
    def api(self) -> str:
        return str(self.last("urls")["orders"])

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.popen.poll() is None, self.lines[-5:]
            assert time.monotonic() < deadline, self.lines[-5:]
            time.sleep(0.05)

    def until_delivering(self) -> None:
        before = self.delivered
        self.until(lambda: self.delivered >= before + 5)

    @contextmanager
    def frozen(self, *pids: int) -> Generator[None]:
        """The processes and their children do not run during the block."""
        family = set(pids)
        parents = parents_by_pid()
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in family:
                with suppress(ProcessLookupError):  # the demo has killed it
                    os.kill(pid, signal.SIGCONT)

    def server(self, name: str) -> int:
        """Process id of the demo's child whose command line contains `name`."""
        children = [pid for pid, parent in parents_by_pid().items() if parent == self.popen.pid]
        return next(pid for pid in children if name in Path(f"/proc/{pid}/cmdline").read_text())

    def interrupt(self) -> tuple[int, dict[str, Any]]:
        """Exit code and summary after a Ctrl-C."""
        self.popen.send_signal(signal.SIGINT)
        code = self.popen.wait(60)
        return code, self.lines[-1]

    def command(self, name: str, more: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command that the demo printed, with `more` arguments."""
        text = f"{self.last('urls')['commands'][name]} {more}"
        text = text.replace("uv run gofleet", f"{sys.executable} -m gofleet").replace(" psql ", f" {PSQL} ")
        environment = {**os.environ, "COLUMNS": "200"}
        return subprocess.run(
            ["bash", "-c", text], env=environment, check=False, capture_output=True, text=True, timeout=60
        )


@contextmanager
def a_demo(folder: Path, *options: str) -> Generator[RunningDemo]:
    ports = {name: str(free_port("127.0.0.1", first)) for name, first in FIRST_PORTS.items()}
    command = [sys.executable, "-m", "gofleet", "demo", "--json", "--data", str(folder / "data"), *options]
    with subprocess.Popen(command, env={**os.environ, **ports}, stdout=subprocess.PIPE, text=True, cwd=folder) as popen:
        demo = RunningDemo(popen, folder)

        def read() -> None:
            assert popen.stdout
            for line in popen.stdout:
                demo.lines.append(json.loads(line))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield demo
        finally:
            popen.kill()
            popen.wait()
            reader.join()


def post_orders(demo: RunningDemo, count: int) -> None:
    with httpx.Client(timeout=20, trust_env=False) as http:
        for number in range(count):
            place = {"lat": -23.55, "lng": -46.63}
            body = {"id": f"foreign-{number}", "price": 10.0, "tax": 1.0, "pickup": place, "dropoff": place}
            http.post(demo.api, json=body).raise_for_status()


def test_it_lives_through_frozen_servers_and_a_frozen_machine(tmp_path: Path) -> None:
    with a_demo(tmp_path, "--drivers", "40") as demo:
        demo.until_delivering()
        for frozen in (["postgres"], ["valkey"], ["postgres", "valkey", ""]):
            pids = [demo.server(name) if name else demo.popen.pid for name in frozen]
            with demo.frozen(*pids):
                time.sleep(FROZEN_SECONDS)  # the length of the outage is what is tested
            demo.until_delivering()
        retried = demo.last("progress")["retried"]
        post_orders(demo, FOREIGN_ORDERS)
        code, summary = demo.interrupt()

    assert code == 0
    assert summary["event"] == "summary"
    assert summary["lost"] == 0
    assert sum(retried.values()) > 0
    assert retried.keys() <= {"no answer", "timeout", "unavailable", "server error", "fleet unavailable"}
    progress = [line for line in demo.lines if line["event"] == "progress"]
    counts = ("waiting", "under_way", "delivered", "by_hand", "cancelled")
    assert all(line[name] >= 0 for line in progress for name in counts)
    assert all(line["created"] == sum(line[name] for name in counts) for line in progress)
    # The interrupt may have met one order whose answer the city did not wait for.
    assert progress[-1]["created"] - summary["created"] - FOREIGN_ORDERS in {0, 1}
    assert any(line["api_away_seconds"] > 1 for line in progress)


def test_a_second_run_counts_the_orders_of_the_first(tmp_path: Path) -> None:
    for run in range(2):
        with a_demo(tmp_path, "--orders", "20", "--exit", "--drivers", "20") as demo:
            assert demo.popen.wait(90) == 0
        progress = [line for line in demo.lines if line["event"] == "progress"]
        assert all(line["created"] >= 20 * run for line in progress[1:])
        assert demo.lines[-1] == demo.lines[-1] | {"event": "summary", "created": 20, "delivered": 20, "lost": 0}


def test_the_printed_commands_reach_the_running_demo(tmp_path: Path) -> None:
    with a_demo(tmp_path, "--drivers", "40") as demo:
        demo.until_delivering()

        doctor, verify = demo.command("doctor"), demo.command("verify")
        psql = demo.command("psql", "-At -c 'select count(*) > 0 from orders'")

        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
        assert verify.returncode == 0, verify.stdout + verify.stderr
        assert "verdict: holds" in verify.stdout
        assert psql.stdout == "t\n", psql.stderr
        for file in ("env", "service"):
            assert Path(demo.last("urls")[file]).stat().st_mode & 0o077 == 0
        assert demo.interrupt()[0] == 0


def test_it_stops_while_postgresql_is_frozen(tmp_path: Path) -> None:
    with a_demo(tmp_path) as demo:
        demo.until_delivering()
        with demo.frozen(demo.server("postgres")):
            demo.until(lambda: demo.last("progress")["api_away_seconds"] > 0)
            demo.popen.send_signal(signal.SIGINT)
            demo.popen.wait(60)
    assert demo.lines[-1]["lost"] == 0
