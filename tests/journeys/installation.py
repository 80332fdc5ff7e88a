"""The four roles as separate processes on real servers, each with a login that has the privileges of its role and no
others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx

from gofleet.domain.place import Place
from gofleet.embedded.resources import free_ports
from gofleet.roles import ORDER
from tests.databases import login_of
from tests.makers import CENTRE

START_SECONDS = 60.0
RETRY_SECONDS = 120.0


@dataclass
class RoleProcess:
    """A process of a role, with its output in `log`."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    metrics_port: int

    def ready(self) -> bool:
        """Whether the process is ready; AssertionError with its log if it has ended."""
        assert self.popen.poll() is None, f"{self.name} exited with {self.popen.returncode}:\n{self.log.read_text()}"
        # Without httpx, which takes 40 ms of CPU for each request from the starting processes.
        connection = HTTPConnection("127.0.0.1", self.metrics_port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def send_signal(self, sign: signal.Signals) -> None:
        self.popen.send_signal(sign)

    def wait(self, within: float = 30.0) -> int:
        """The exit code."""
        return self.popen.wait(within)

    def events(self) -> list[dict[str, object]]:
        """The log lines."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@dataclass
class Installation:
    """`environment` is what every process gets, and one of a single role what `logins` has for it; its DB_USER, the
    tables' owner, is for those that play several, so the cluster must have the logins of tests.databases. `api` is the
    address of the API."""

    environment: dict[str, str]
    folder: Path
    logins: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    processes: list[RoleProcess] = field(default_factory=list[RoleProcess])
    count: int = 0

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.environment['WEB_SERVER_PORT']}"

    def launch(self, role: str, **more: str) -> RoleProcess:
        """Start a process and do not wait for it."""
        self.count += 1
        name = f"{role}-{self.count}"
        port = int(more.get("METRICS_PORT") or free_ports(1)[0])
        log = self.folder / f"{name}.log"
        own = {"DB_USER": login_of(role), **self.logins.get(role, {})} if role in ORDER else {}
        own |= {"METRICS_PORT": str(port), "LOG_FORMAT": "json", **more}
        environment = {**os.environ, **self.environment, **own}
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [sys.executable, "-m", "gofleet", "run", "--role", role],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )
        running = RoleProcess(name, popen, log, port)
        self.processes.append(running)
        return running

    def start(self, *roles: str, **more: str) -> list[RoleProcess]:
        """Start processes and wait until all are ready."""
        started = [self.launch(role, **more) for role in roles]
        until = time.monotonic() + START_SECONDS
        while not all(process.ready() for process in started):
            assert time.monotonic() < until, "\n".join(process.log.read_text() for process in started)
            time.sleep(0.05)
        return started

    def stop(self) -> dict[str, int]:
        """SIGTERM to all that still run; their exit codes by name."""
        alive = [process for process in self.processes if process.popen.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGTERM)
        return {process.name: process.wait() for process in alive}

    def kill(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.popen.kill()
                process.popen.wait()


@contextmanager
def an_installation(
    environment: dict[str, str], place: Path, logins: dict[str, dict[str, str]] | None = None
) -> Generator[Installation]:
    """An installation that is stopped after the block. Fails if a server refused a role a privilege: some work is
    retried and only logs the error."""
    installation = Installation(environment, place, logins or {})
    try:
        yield installation
        for process in installation.processes:
            with process.log.open(errors="replace") as lines:
                assert not [line for line in lines if "InsufficientPrivilege" in line]
    finally:
        installation.kill()


@dataclass
class Town:
    """A customer and drivers that use the API."""

    http: httpx.AsyncClient

    async def add_drivers(self, count: int, centre: Place = CENTRE) -> None:
        """Register drivers on duty within a few hundred metres of the centre."""
        for first in range(0, count, 20):
            await asyncio.gather(*(self._driver(n, centre) for n in range(first, min(first + 20, count))))

    async def _driver(self, number: int, centre: Place) -> None:
        path = f"/api/v1/drivers/driver-{number:03}"
        place = {"lat": centre.lat + (number % 10) * 0.0003, "lng": centre.lng + (number // 10) * 0.0003}
        (await self.http.put(path, json={"name": f"Driver {number}"})).raise_for_status()
        (await self.http.put(f"{path}/position", json=place)).raise_for_status()

    async def create_order(self, order_id: str, pickup: Place | None = None) -> None:
        """Repeat the request until the API responds with 2xx: the id makes that safe."""
        body: dict[str, object] = {"id": order_id, "price": 100.0, "tax": 10.0}
        if pickup is not None:
            body["pickup"] = {"lat": pickup.lat, "lng": pickup.lng}
        until = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                answer = await self.http.post("/api/v1/orders", json=body)
                if answer.is_success:
                    return
            except httpx.TransportError:
                pass  # unavailable at the moment
            assert time.monotonic() < until, "the API never came back"
            await asyncio.sleep(0.05)

    async def order_status(self, order_id: str) -> str:
        return (await self.http.get(f"/api/v1/orders/{order_id}")).raise_for_status().json()["status"]

    async def deliver_all(self) -> int:
        """Deliver all dispatched orders; their number."""
        answer = await self.http.get("/api/v1/orders", params={"status": "DISPATCHED", "limit": 100})
        under_way = answer.raise_for_status().json()["items"]
        delivering = (self.http.post(f"/api/v1/orders/{order['id']}/deliver") for order in under_way)
        for answer in await asyncio.gather(*delivering):
            answer.raise_for_status()
        return len(under_way)
