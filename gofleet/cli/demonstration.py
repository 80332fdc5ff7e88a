"""What `gofleet demo` does: servers, roles and a city, from the first line to the summary."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from gofleet import __version__, parts
from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.adapters.postgres.migrate import apply_migrations
from gofleet.cli.demo_output import JsonStory, LiveStory, PlainStory, Story
from gofleet.cli.servers import Servers
from gofleet.domain.place import Place
from gofleet.embedded import all_running
from gofleet.process import Process, repeat
from gofleet.roles import ORDER, role
from gofleet.settings import Settings, load
from gofleet.simulation.city import City
from gofleet.simulation.client import SimulatedClient
from gofleet.telemetry.logging import log_to

HERE = "127.0.0.1"
SHOW_SECONDS = 1.0
SOMEWHERE = Place(-23.5505, -46.6333)
"""The city's centre when no depot is set."""


@dataclass(frozen=True)
class Wishes:
    """What the person who typed the command asked for."""

    orders: int | None
    exits: bool
    drivers: int
    per_minute: float
    seed: int


def demonstrate(wishes: Wishes, *, data: Path | None, broker: Literal["redis", "rabbitmq"] | None, json: bool) -> int:
    """Play the demo until it ends or is ended; returns the exit code."""
    # Until the roles take over, SIGTERM ends it as Ctrl-C does: with everything stopped and thrown away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    story = JsonStory() if json else LiveStory() if sys.stdout.isatty() else PlainStory()
    with tempfile.TemporaryDirectory(prefix="gofleet-demo-") as thrown_away:
        place = data or Path(thrown_away)
        place.mkdir(parents=True, exist_ok=True)
        with (place / "gofleet.log").open("a", encoding="utf-8") as log:
            log_to(log, level="INFO", json=True, context={"role": "demo", "version": __version__})
            return asyncio.run(_run(wishes, Servers.wanted(place, load(), broker), story, place / "gofleet.log"))


async def _run(wishes: Wishes, servers: Servers, story: Story, log: Path) -> int:
    story.began(servers.names)
    async with all_running(*servers.needed, on_ready=lambda server: story.step(f"{server.name} is up")):
        asked = load()
        settings = load({**os.environ, **servers.environment(), **_at_home(asked), **_free_ports(asked)})
        await asyncio.to_thread(apply_migrations, parts.conninfo(settings))
        story.step("schema is up to date")
        story.step(f"anybody who reaches {settings.web.host} may ask (AUTH=off)")
        process, people = Process(settings, ORDER), list[SimulatedClient]()

        @asynccontextmanager
        async def city(process: Process) -> AsyncGenerator[None]:
            async with _city(process, wishes, story, log) as everybody:
                people.append(everybody)
                yield

        try:
            await process.run([*(role(name) for name in ORDER), city])
        finally:
            story.ended()
    if not people or not story.told:
        return 1
    return 0 if story.told.good or not wishes.exits else 1


@asynccontextmanager
async def _city(process: Process, wishes: Wishes, story: Story, log: Path) -> AsyncGenerator[SimulatedClient]:
    """The city's people against this process's own API and fleet, from outside."""
    settings = process.settings
    base = f"http://{HERE}:{settings.web.port}"
    centre = parts.depot(settings) or SOMEWHERE
    async with (
        httpx.AsyncClient(base_url=base, timeout=10, trust_env=False) as http,
        GrpcFleet(HERE, settings.fleet.port, certificates=parts.fleet_certificates(settings)) as fleet,
    ):
        people = SimulatedClient(
            City(centre, wishes.seed, wishes.drivers), http, fleet, wishes.per_minute, wishes.orders
        )
        await people.register_drivers()
        story.step(f"{wishes.drivers} drivers on the road")
        story.urls(base, settings.telemetry.metrics_port, log)

        async def live(stop: asyncio.Event) -> None:
            await people.run(stop)
            if wishes.exits:
                process.stopping.set()
            await stop.wait()  # without --exit the servers stay, for you to look around

        async def show() -> None:
            story.progress(people.counts())

        try:
            async with process.keeping(live), process.keeping(lambda stop: repeat(show, SHOW_SECONDS, stop)):
                yield people
        finally:
            story.summary(await people.summarize())


def _at_home(settings: Settings) -> dict[str, str]:
    """Nobody is asked who they are, so, unless you say otherwise, only this machine can ask."""
    hosts = {name: HERE for name in ("WEB_SERVER_HOST", "GRPC_HOST", "METRICS_HOST") if not settings.given(name)}
    return {"AUTH": "off", "LIMITS": "off", **hosts}


def _free_ports(settings: Settings) -> dict[str, str]:
    """Ports that nobody asked for: the usual ones if they are free, else the next."""
    usual = {"WEB_SERVER_PORT": settings.web.port, "GRPC_PORT": settings.fleet.port}
    usual["METRICS_PORT"] = settings.telemetry.metrics_port
    return {name: str(parts.free_port(HERE, port)) for name, port in usual.items() if not settings.given(name)}
