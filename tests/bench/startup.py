"""How long each role takes from its start to being ready, and how much of the processor."""

from __future__ import annotations

import asyncio
import time

from tests.bench.accounting import read
from tests.bench.connections import Connection
from tests.bench.dispatching import ROLES
from tests.bench.figures import Figure
from tests.bench.load import request
from tests.bench.queues import forget
from tests.bench.servers import Bench, Measured

CASE = "startup"
LOOK_SECONDS = 0.02
SECONDS_MAX = 60.0
READY = request("GET", "/health/ready")


async def measure(at: Bench) -> list[Figure]:
    found: dict[str, list[tuple[float, float]]] = {role: [] for role in ROLES}
    with at.servers.installation(CASE) as measured:
        for role in () if at.smoke else ROLES:  # queues are made, modules come into the page cache
            await _started(measured, role)
        for number, variant in at.turns(len(ROLES)):
            role = ROLES[variant]
            found[role].append(await _started(measured, role))
            at.say(f"{CASE} {number + 1}: {role} ready after {found[role][-1][0]:.2f} s")
        await forget(at.servers, measured)
    units = {"until ready": 0, "CPU until ready": 1}
    return [
        Figure(CASE, f"{role}, {name}", "s", tuple(times[which] for times in found[role]), better="lower")
        for name, which in units.items()
        for role in ROLES
    ]


async def _started(measured: Measured, role: str) -> tuple[float, float]:
    """Seconds by the clock and of CPU; it is stopped again."""
    began = time.monotonic()
    running = measured.installation.launch(role)
    connection = Connection(running.metrics_port)
    while (await connection.ask(READY)).status != 200:
        took = time.monotonic() - began
        if took > SECONDS_MAX or running.popen.poll() is not None:
            raise AssertionError(f"{role} is not ready after {took:.0f} s:\n{running.log.read_text()}")
        await asyncio.sleep(LOOK_SECONDS)
    took = time.monotonic() - began
    cpu = read({role: [running.popen.pid]}).trees[role] / 1000
    connection.close()
    measured.installation.stop()
    return took, cpu
