"""k6 against an installation, and an outage of the fleet role."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg

from tests.journeys.installation import Installation, RoleProcess
from tests.waiting import eventually

SCRIPT = Path(__file__).with_name("orders.js")
QUIT_SECONDS = 60.0
Scenario = Literal["ramp", "breaker"]


@dataclass(frozen=True)
class Outcome:
    """Exit code, metrics by name and output of k6. The code is 0 if every threshold held."""

    code: int
    metrics: dict[str, dict[str, Any]]
    output: str

    def count(self, metric: str) -> int:
        return int(self.metrics.get(metric, {}).get("count", 0))


@dataclass(frozen=True)
class K6:
    """A running k6."""

    popen: subprocess.Popen[bytes]
    log: Path
    summary: Path

    def runs(self) -> bool:
        """True; AssertionError with its output if it has ended."""
        assert self.popen.poll() is None, self.log.read_text()
        return True

    def ended(self, within: float) -> Outcome:
        code = self.popen.wait(within)
        metrics: dict[str, dict[str, Any]] = {}
        if self.summary.exists():
            metrics = json.loads(self.summary.read_bytes())["metrics"]
        return Outcome(code, metrics, self.log.read_text())


def binary() -> str:
    """The k6 of the dependency group `load`, else the system's."""
    program = shutil.which("k6", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert program, "k6 is missing: run `uv sync --group load`, or use `just load`"
    return program


@contextmanager
def k6(url: str, scenario: Scenario, place: Path, **variables: str | int) -> Generator[K6]:
    """Run the script with `variables` during the block; its files go to `place`."""
    log, summary = place / "k6.log", place / "k6.json"
    everything = {"GOFLEET_URL": url, "SCENARIO": scenario, **variables}
    words = [word for name, value in everything.items() for word in ("-e", f"{name}={value}")]
    command = [binary(), "run", "--quiet", "--no-color", "--no-usage-report", "--address", "", "--summary-export"]
    with log.open("wb") as out:
        popen = subprocess.Popen(
            [*command, str(summary), *words, str(SCRIPT)], stdout=out, stderr=subprocess.STDOUT, cwd=place
        )
    try:
        yield K6(popen, log, summary)
    finally:
        if popen.poll() is None:
            popen.terminate()
            popen.wait(QUIT_SECONDS)


async def outage(
    load: K6, installation: Installation, fleet: RoleProcess, conninfo: str, *, customers: int
) -> RoleProcess:
    """Kill the fleet role once every customer has got a driver; start a new one, which is returned, once every customer
    has had an order escalated to manual dispatch."""

    def reached_by_all(condition: str) -> bool:
        return load.runs() and _customers(conninfo, condition) >= customers

    await eventually(lambda: reached_by_all("status in ('DISPATCHED', 'DELIVERED')"), within=120, every=0.1)
    fleet.send_signal(signal.SIGKILL)
    fleet.wait()
    await eventually(lambda: reached_by_all("reason = 'fleet_unavailable'"), within=180, every=0.1)
    (restarted,) = installation.start("fleet")
    return restarted


def _customers(conninfo: str, condition: str) -> int:
    """The number of k6's customers with an order that meets `condition`; the third part of its id is the customer."""
    query = f"select count(distinct split_part(id, '-', 3)) from orders where {condition}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0
