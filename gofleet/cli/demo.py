"""`gofleet demo`: embedded servers, all roles, and simulated drivers and customers, on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, cast

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet import __version__
from gofleet.cli.demo_servers import (
    LOOPBACK,
    AccessFiles,
    Broker,
    DemoServers,
    check_programs,
    choose_ports,
    local_only,
    write_access_files,
)

if TYPE_CHECKING:
    from asyncio import Event

    from gofleet.cli.demo_output import DemoOutput
    from gofleet.process import Process
    from gofleet.simulation.client import SimulatedClient

ENDLESS_PER_MINUTE, LIMITED_PER_MINUTE = 120.0, 1200.0
POSITIVE = Number(gt=0)
PROGRESS_SECONDS = 1.0
DEFAULT_CENTRE = (-23.5505, -46.6333)
"""Centre of the simulated city, if no depot is set."""


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


def run_demo(options: DemoOptions, *, data: Path | None, broker: Broker | None, json: bool) -> int:
    """Run the demo until it ends or is stopped; returns the exit code."""
    import asyncio
    import signal

    from gofleet.cli.demo_log import LOG_FILE, RotatingLog, demo_folder
    from gofleet.cli.demo_output import JsonOutput, LiveOutput, PlainOutput
    from gofleet.settings import load
    from gofleet.telemetry.logging import log_to

    # Until the roles install their handlers, SIGTERM acts like Ctrl-C: servers are stopped and data is deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    output = JsonOutput() if json else LiveOutput() if sys.stdout.isatty() else PlainOutput()
    settings = load()
    check_programs(settings)
    ports = choose_ports(settings)  # first, because the servers take a while to start
    with demo_folder(data) as demo, RotatingLog(demo.path / LOG_FILE) as log:
        log_to(cast("TextIO", log), level="INFO", json=True, context={"role": "demo", "version": __version__})
        servers = DemoServers.choose(demo.path, settings, broker)
        code = asyncio.run(_run(options, servers, output, demo.path, local_only(settings) | ports))
        demo.failed = code != 0
        return code


async def _run(
    options: DemoOptions, servers: DemoServers, output: DemoOutput, folder: Path, variables: dict[str, str]
) -> int:
    import asyncio

    from gofleet import parts
    from gofleet.adapters.postgres.migrate import apply_migrations
    from gofleet.embedded import all_running
    from gofleet.process import Process
    from gofleet.roles import ORDER, role
    from gofleet.settings import load

    output.started([server.name for server in servers.needed])
    async with all_running(*servers.needed, on_ready=lambda server: output.step(f"{server.name} is up")):
        variables = {**servers.environment(), **variables}
        settings = load({**os.environ, **variables})
        access = write_access_files(folder, variables, settings)
        await asyncio.to_thread(apply_migrations, parts.conninfo(settings))
        output.step("schema is up to date")
        output.step(f"authentication is off (AUTH=off): any client that reaches {settings.web.host} has access")
        process, clients = Process(settings, ORDER), list["SimulatedClient"]()

        @asynccontextmanager
        async def simulation(process: Process) -> AsyncGenerator[None]:
            async with _simulation(process, options, output, access) as client:
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
    process: Process, options: DemoOptions, output: DemoOutput, access: AccessFiles
) -> AsyncGenerator[SimulatedClient]:
    """Simulated drivers and customers that use this process's own API and fleet over the network."""
    import httpx

    from gofleet import parts
    from gofleet.adapters.grpc.client import GrpcFleet
    from gofleet.domain.errors import Unavailable
    from gofleet.domain.place import Place
    from gofleet.process import repeat
    from gofleet.simulation.api import RetryingApi
    from gofleet.simulation.city import City
    from gofleet.simulation.client import SimulatedClient
    from gofleet.simulation.counts import Counts, count_orders

    settings = process.settings
    base = f"http://{LOOPBACK}:{settings.web.port}"
    centre = parts.depot(settings) or Place(*DEFAULT_CENTRE)
    pool, counts = await process.use(parts.postgres), Counts()
    async with (
        httpx.AsyncClient(base_url=base, timeout=10, trust_env=False) as http,
        GrpcFleet(LOOPBACK, settings.fleet.port, certificates=parts.fleet_certificates(settings)) as fleet,
    ):
        city = City(centre, options.seed, options.drivers)
        client = SimulatedClient(city, RetryingApi(http), fleet, options.per_minute, options.orders)
        await _register(client, output)
        output.urls(base, settings.telemetry.metrics_port, access)

        async def run(stop: Event) -> None:
            await client.run(stop)
            if options.exits:
                process.stopping.set()
            await stop.wait()  # without --exit the servers keep running

        async def count() -> None:
            nonlocal counts
            with suppress(Unavailable):  # the last ones are shown until PostgreSQL answers again
                counts = await count_orders(pool)

        async def show_progress() -> None:
            output.progress(counts, client.api.retries)

        try:
            async with (
                process.keeping(run),
                process.keeping(lambda stop: repeat(count, PROGRESS_SECONDS, stop)),
                process.keeping(lambda stop: repeat(show_progress, PROGRESS_SECONDS, stop)),
            ):
                yield client
        finally:
            summary = await client.summarize()
            await count()
            output.progress(counts, client.api.retries)
            output.summary(summary, client.api.retries)


async def _register(client: SimulatedClient, output: DemoOutput) -> None:
    """Register the drivers, showing progress every PROGRESS_SECONDS."""
    import asyncio

    from gofleet.waiting import cancel_and_wait, first_of

    total, registering = client.city.driver_count, asyncio.create_task(client.register_drivers())
    try:
        while not await first_of(registering, timeout=PROGRESS_SECONDS):
            output.registering(client.registered, total, client.api.retries)
        await registering
    finally:
        await cancel_and_wait(registering)
    output.step(f"{total} drivers registered")
