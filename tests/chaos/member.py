"""One role process of a world, with its own way to every server."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, field

from gofleet.embedded.resources import free_ports
from tests.chaos.proxy import HOST, Edge
from tests.journeys.installation import Installation, RoleProcess
from tests.waiting import eventually

READY_SECONDS = 180.0
STOP_SECONDS = 30.0

NEEDS: dict[str, tuple[str, ...]] = {
    "api": ("postgres", "fleet"),
    "relay": ("postgres", "rabbit"),
    "worker": ("postgres", "rabbit", "redis", "fleet"),
    "fleet": ("postgres", "rabbit", "redis"),
}
"""Role -> the servers it talks to."""


def needs(role: str, broker: str) -> list[str]:
    """The servers that a role talks to."""
    return sorted({"redis" if server == "rabbit" and broker == "redis" else server for server in NEEDS[role]})


SETTINGS: dict[str, tuple[str, str]] = {
    "postgres": ("DB_HOST", "DB_PORT"),
    "rabbit": ("RABBITMQ_HOST", "AMQP_PORT"),
    "redis": ("REDIS_HOST", "REDIS_PORT"),
    "fleet": ("FLEET_HOST", "GRPC_PORT"),
}


@dataclass
class Member:
    """`edges` by the server's name; `port` is what it listens on (api, fleet); `own` are settings of its own."""

    name: str
    role: str
    installation: Installation
    edges: dict[str, Edge]
    port: int = 0
    front: Edge | None = None
    own: dict[str, str] = field(default_factory=dict[str, str])
    running: RoleProcess | None = None
    in_rotation: bool = False

    @property
    def pid(self) -> int:
        assert self.running is not None
        return self.running.popen.pid

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.popen.poll() is None

    def log(self) -> str:
        """Its log since its last start."""
        return self.running.log.read_text(errors="replace") if self.running else ""

    def launch(self) -> None:
        """Start its process and do not wait."""
        # Its port for metrics is free for sure: two rigs on one machine must not take each other's members for theirs.
        environment = {"METRICS_HOST": HOST, "METRICS_PORT": str(free_ports(1)[0]), **self.own}
        for server, edge in self.edges.items():
            host, port = SETTINGS[server]
            environment |= {host: HOST, port: str(edge.port)}
        if self.role == "api":
            environment |= {"WEB_SERVER_HOST": HOST, "WEB_SERVER_PORT": str(self.port)}
        if self.role == "fleet":
            environment |= {"GRPC_HOST": HOST, "GRPC_PORT": str(self.port)}
        self.running = self.installation.launch(self.role, **environment)

    async def ready(self) -> None:
        """Return once it says so; from then on clients are sent to it."""
        running = self.running
        assert running is not None
        # In a thread: its requests pass proxies that run in this loop.
        await eventually(lambda: asyncio.to_thread(running.ready), within=READY_SECONDS, every=0.1)
        assert self.alive, f"{self.name} has ended:\n{self.log()}"
        self.in_rotation = True

    async def start(self) -> None:
        if not self.alive:
            self.launch()
        await self.ready()

    async def stop(self) -> int | None:
        """SIGTERM, as a deployment does it; its exit code, None if it was gone already."""
        self.in_rotation = False
        if not self.alive:
            return None
        self.send_signal(signal.SIGCONT)
        self.send_signal(signal.SIGTERM)
        return await self.ended(STOP_SECONDS)

    async def ended(self, within: float) -> int | None:
        """Its exit code; None if it did not end, and it is killed then."""
        assert self.running is not None
        popen = self.running.popen
        try:
            await eventually(lambda: popen.poll() is not None, within=within, every=0.05)
        except AssertionError:
            await self.kill()
            return None
        self.in_rotation = False
        return popen.returncode

    async def kill(self) -> None:
        """SIGKILL; gone when this returns."""
        self.in_rotation = False
        if self.alive:
            self.send_signal(signal.SIGKILL)
            await self.ended(STOP_SECONDS)

    def send_signal(self, sign: signal.Signals) -> None:
        if self.running is not None:
            self.running.send_signal(sign)

    async def heal(self) -> None:
        """Mend its edges, wake it, and start it if it is gone, unless it was there to die."""
        for edge in self.all_edges():
            await edge.heal()
        if self.alive:
            self.send_signal(signal.SIGCONT)
        elif "GOFLEET_FAILPOINTS" not in self.own:
            await self.start()

    def all_edges(self) -> list[Edge]:
        return [*self.edges.values(), *([self.front] if self.front else [])]

    async def close(self) -> None:
        await self.kill()
        for edge in self.all_edges():
            await edge.close()
