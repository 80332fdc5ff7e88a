"""On what it was measured: without that no figure means anything."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from tests.bench.servers import POSTGRES_SETTINGS, TRACED_SHARE, Servers
from tests.databases import conninfo_of

SYNCS = 100
LOOP, LOOPS = 200_000, 15
SETTINGS = (*POSTGRES_SETTINGS, "fsync", "synchronous_commit")


def described(servers: Servers) -> dict[str, str]:
    """The conditions of a measurement, by name."""
    with psycopg.connect(conninfo_of(servers.postgres, "postgres")) as connection:
        server = {name: str(_only(connection, f"show {name}")) for name in SETTINGS}
        version = _only(connection, "show server_version")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "processors": f"{len(os.sched_getaffinity(0))} of {_processor()}",
        "speed": f"{_loop_ms():.1f} ms for a loop of {LOOP:,} steps in Python",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "fsync of 4 KiB": f"{_fsync_micros(servers.place):.0f} µs",
        "PostgreSQL": f"{version}: " + ", ".join(f"{name} {value}" for name, value in server.items()),
        "roles": f"each with JSON logs to a file, metrics, {float(TRACED_SHARE):.0%} of the traces to a collector, "
        "publisher confirms, quorum queues; Valkey with its append-only file",
    }


def _only(connection: psycopg.Connection[tuple[object, ...]], query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def _commit() -> str:
    """Of the code under measurement; `+` where it has been changed since."""
    command = ["git", "describe", "--always", "--dirty=+"]
    described = subprocess.run(command, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _loop_ms() -> float:
    """The fastest of some, by which the reports of two machines can be read together."""
    took: list[float] = []
    for _ in range(LOOPS):
        began, total = time.perf_counter(), 0
        for step in range(LOOP):
            total += step ^ total & 0xFFFF
        took.append(time.perf_counter() - began)
    return min(took) * 1000


def _fsync_micros(place: Path) -> float:
    """Median of some, where PostgreSQL's data lie as well: in the system's temporary directory."""
    took: list[float] = []
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6
