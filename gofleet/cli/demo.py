"""`gofleet demo`: embedded servers, all roles, and simulated drivers and customers, on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet import __version__

if TYPE_CHECKING:
    from asyncio import Event

    from gofleet.cli.demo_output import DemoOutput
    from gofleet.embedded import Postgres, RabbitMQ, Server, Valkey
    from gofleet.process import Process
    from gofleet.settings import Settings
    from gofleet.simulation.client import SimulatedClient

ENDLESS_PER_MINUTE, LIMITED_PER_MINUTE = 120.0, 1200.0
POSITIVE = Number(gt=0)
LOOPBACK = "127.0.0.1"
PROGRESS_SECONDS = 1.0
DEFAULT_CENTRE = (-23.5505, -46.6333)
"""Centre of the simulated city, if no depot is set."""

Broker = Literal["redis", "rabbitmq"]


def demo_command(
    *,
    orders: Annotated[
        int | None, Parameter(help="Number of orders to create; unlimited by default.", validator=POSITIVE)
    ] = None,
    exit: Annotated[bool, Parameter(help="Exit when all orders are final; exit 0 only if none is lost.")] = False,
    drivers: Annotated[int, Parameter(help="Number of drivers.", validator=POSITIVE)] = 50,
    per_minute: Annotated[
        float | None, Parameter(help="Orders per minute; 120, or 1200 with --orders.", validator=POSITIVE)
    ] = None,
    seed: Annotated[int, Parameter(help="Random seed; the same seed gives the same city.")] = 1,
    data: Annotated[Path | None, Parameter(help="Keep the servers' data here; temporary by default.")] = None,
    broker: Annotated[
        Broker | None,
        Parameter(help="Redis streams (default), or RabbitMQ from Debian's package, as an embedded server."),
    ] = None,
    json: Annotated[bool, Parameter(help="Print one JSON object per line; the last one is the summary.")] = False,
) -> int:
    """Start PostgreSQL, Valkey and every role, and show orders being dispatched. Ctrl-C stops and cleans up.

    Settings that are given (DB_HOST, REDIS_HOST, RABBITMQ_HOST, ...) replace the servers that it would start.
    """
    if exit and orders is None:
        orders = 200
    rate = per_minute or (LIMITED_PER_MINUTE if orders else ENDLESS_PER_MINUTE)
    return run_demo(DemoOptions(orders, exit, drivers, rate, seed), data=data, broker=broker, json=json)


@dataclass(frozen=True)
class DemoOptions:
    """`orders` None = unlimited; with `exits` the demo ends when all orders are final."""

    orders: int | None
    exits: bool
    drivers: int
    per_minute: float
    seed: int


@dataclass(frozen=True)
class DemoServers:
    """Servers to start; None = the settings name a running one. `broker` carries the events."""

    postgres: Postgres | None
    valkey: Valkey | None
    rabbitmq: RabbitMQ | None
    broker: Broker

    @classmethod
    def choose(cls, folder: Path, settings: Settings, broker: Broker | None) -> DemoServers:
        """The servers that the settings do not name, with their data in `folder`."""
        from gofleet.embedded import Postgres, RabbitMQ, Valkey

        has_rabbitmq = settings.given("RABBITMQ_HOST")
        if broker is None:
            configured = settings.general.broker if settings.given("BROKER") else None
            broker = configured or ("rabbitmq" if has_rabbitmq else "redis")
        return cls(
            postgres=None if settings.given("DB_HOST") else Postgres(folder / "postgres"),
            valkey=None if settings.given("REDIS_HOST") else Valkey(folder / "valkey"),
            rabbitmq=RabbitMQ(folder / "rabbitmq") if broker == "rabbitmq" and not has_rabbitmq else None,
            broker=broker,
        )

    @property
    def needed(self) -> list[Server[Any]]:
        return [server for server in (self.postgres, self.valkey, self.rabbitmq) if server is not None]

    def environment(self) -> dict[str, str]:
        """Settings that connect the roles to the started servers."""
        variables = {"BROKER": self.broker, "FLEET_HOST": LOOPBACK}
        if self.postgres:
            db = self.postgres.address
            variables |= {"DB_HOST": db.host, "DB_PORT": str(db.port), "DB_USER": db.user, "DB_PASSWORD": db.password}
            variables |= {"DB_NAME": db.database, "DB_SSLMODE": "disable"}
        if self.valkey:
            redis = self.valkey.address
            variables |= {"REDIS_HOST": redis.host, "REDIS_PORT": str(redis.port), "REDIS_PASSWORD": redis.password}
        if self.rabbitmq:
            rabbit = self.rabbitmq.address
            variables |= {"RABBITMQ_HOST": rabbit.host, "AMQP_PORT": str(rabbit.port)}
            variables |= {"RABBITMQ_USER": rabbit.user, "RABBITMQ_PASSWORD": rabbit.password}
        return variables


def run_demo(options: DemoOptions, *, data: Path | None, broker: Broker | None, json: bool) -> int:
    """Run the demo until it ends or is stopped; returns the exit code."""
    import asyncio
    import signal
    import tempfile

    from gofleet.cli.demo_output import JsonOutput, LiveOutput, PlainOutput
    from gofleet.settings import load
    from gofleet.telemetry.logging import log_to

    # Until the roles install their handlers, SIGTERM acts like Ctrl-C: servers are stopped and data is deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    output = JsonOutput() if json else LiveOutput() if sys.stdout.isatty() else PlainOutput()
    with tempfile.TemporaryDirectory(prefix="gofleet-demo-") as temporary:
        folder = data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "gofleet.log").open("a", encoding="utf-8") as log:
            log_to(log, level="INFO", json=True, context={"role": "demo", "version": __version__})
            servers = DemoServers.choose(folder, load(), broker)
            return asyncio.run(_run(options, servers, output, folder / "gofleet.log"))


async def _run(options: DemoOptions, servers: DemoServers, output: DemoOutput, log: Path) -> int:
    import asyncio

    from gofleet import parts
    from gofleet.adapters.postgres.migrate import apply_migrations
    from gofleet.embedded import all_running
    from gofleet.process import Process
    from gofleet.roles import ORDER, role
    from gofleet.settings import load

    output.started([server.name for server in servers.needed])
    async with all_running(*servers.needed, on_ready=lambda server: output.step(f"{server.name} is up")):
        given = load()
        settings = load({**os.environ, **servers.environment(), **_local_only(given), **_free_ports(given)})
        await asyncio.to_thread(apply_migrations, parts.conninfo(settings))
        output.step("schema is up to date")
        output.step(f"authentication is off (AUTH=off): any client that reaches {settings.web.host} has access")
        process, clients = Process(settings, ORDER), list["SimulatedClient"]()

        @asynccontextmanager
        async def simulation(process: Process) -> AsyncGenerator[None]:
            async with _simulation(process, options, output, log) as client:
                clients.append(client)
                yield

        try:
            await process.run([*(role(name) for name in ORDER), simulation])
        finally:
            output.stopped()
    if not clients or not output.final:
        return 1
    return 0 if output.final.good or not options.exits else 1


@asynccontextmanager
async def _simulation(
    process: Process, options: DemoOptions, output: DemoOutput, log: Path
) -> AsyncGenerator[SimulatedClient]:
    """Simulated drivers and customers that use this process's own API and fleet over the network."""
    import httpx

    from gofleet import parts
    from gofleet.adapters.grpc.client import GrpcFleet
    from gofleet.domain.place import Place
    from gofleet.process import repeat
    from gofleet.simulation.city import City
    from gofleet.simulation.client import SimulatedClient

    settings = process.settings
    base = f"http://{LOOPBACK}:{settings.web.port}"
    centre = parts.depot(settings) or Place(*DEFAULT_CENTRE)
    async with (
        httpx.AsyncClient(base_url=base, timeout=10, trust_env=False) as http,
        GrpcFleet(LOOPBACK, settings.fleet.port, certificates=parts.fleet_certificates(settings)) as fleet,
    ):
        city = City(centre, options.seed, options.drivers)
        client = SimulatedClient(city, http, fleet, options.per_minute, options.orders)
        await client.register_drivers()
        output.step(f"{options.drivers} drivers registered")
        output.urls(base, settings.telemetry.metrics_port, log)

        async def run(stop: Event) -> None:
            await client.run(stop)
            if options.exits:
                process.stopping.set()
            await stop.wait()  # without --exit the servers keep running

        async def show_progress() -> None:
            output.progress(client.counts())

        try:
            async with (
                process.keeping(run),
                process.keeping(lambda stop: repeat(show_progress, PROGRESS_SECONDS, stop)),
            ):
                yield client
        finally:
            output.summary(await client.summarize())


def _local_only(settings: Settings) -> dict[str, str]:
    """Without authentication the servers listen only on the loopback interface, unless a host is set explicitly."""
    names = ("WEB_SERVER_HOST", "GRPC_HOST", "METRICS_HOST")
    hosts = {name: LOOPBACK for name in names if not settings.given(name)}
    return {"AUTH": "off", "LIMITS": "off", **hosts}


def _free_ports(settings: Settings) -> dict[str, str]:
    """Ports that are not set explicitly: the default if it is free, otherwise the next free one."""
    from gofleet.parts import free_port

    defaults = {"WEB_SERVER_PORT": settings.web.port, "GRPC_PORT": settings.fleet.port}
    defaults["METRICS_PORT"] = settings.telemetry.metrics_port
    return {name: str(free_port(LOOPBACK, port)) for name, port in defaults.items() if not settings.given(name)}
