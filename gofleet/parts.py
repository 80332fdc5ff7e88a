"""Parts that roles share: each is opened once in a process, on first use, and closed after its users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from ssl import SSLContext
from urllib.parse import quote

import psycopg
from loguru import logger
from opentelemetry.trace import set_tracer_provider
from redis.asyncio import Redis

from gofleet.adapters.grpc.client import GrpcFleet
from gofleet.adapters.http.health import HealthApp
from gofleet.adapters.http.server import Listening, PortInUse, serving
from gofleet.adapters.postgres.diagnostics import check_privileges
from gofleet.adapters.postgres.migrate import MigrationError, missing_migrations
from gofleet.adapters.postgres.notify import OutboxNotifier
from gofleet.adapters.postgres.orders import BatchLimits, PostgresOrders
from gofleet.adapters.postgres.pool import Pool, check_postgres_writes, connection_string, create_pool
from gofleet.adapters.postgres.preconditions import connection_error, refuse_foreign_history, refuse_pooler
from gofleet.adapters.rabbit.connection import RabbitServer
from gofleet.adapters.rabbit.consumer import RabbitConsumer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.adapters.rabbit.topology import topology_of
from gofleet.adapters.redis.connection import check_redis_login, check_redis_writes, redis_client
from gofleet.adapters.redis.stream_consumer import StreamsConsumer
from gofleet.adapters.redis.stream_publisher import StreamsPublisher
from gofleet.adapters.tls import Certificates, client_tls_context
from gofleet.domain.place import Place
from gofleet.first_contact import ConfiguredServer, contacting, until_answered
from gofleet.guards.chain import ChainSettings
from gofleet.guards.manual_fallback import WaitLimits
from gofleet.guards.parking import RetryRules
from gofleet.listening import NEXT_PORTS
from gofleet.ports import Consumer, Publisher
from gofleet.process import Part, Process, restarting
from gofleet.settings import Settings
from gofleet.telemetry.exporting import exporting
from gofleet.telemetry.metrics import measure_loop_lag, set_build_info
from gofleet.waiting import first_of


def conninfo(settings: Settings) -> str:
    db = settings.postgres
    return connection_string(
        host=db.host,
        port=db.port,
        user=db.user,
        password=db.password,
        database=db.database,
        sslmode=db.sslmode,
        sslrootcert=db.sslrootcert,
        connect_timeout_seconds=db.connect_timeout_seconds,
        statement_timeout_ms=db.statement_timeout_ms,
        lock_timeout_ms=db.lock_timeout_ms,
    )


def depot(settings: Settings) -> Place | None:
    """Pickup of orders without one; None if no depot is set."""
    lat, lng = settings.fleet.depot_lat, settings.fleet.depot_lng
    return None if lat is None or lng is None else Place(lat, lng).checked("DEPOT")


def rules(settings: Settings) -> ChainSettings:
    worker = settings.worker
    return ChainSettings(
        retry=RetryRules(worker.max_attempts, settings.broker.tiers, settings.broker.delivery_limit),
        limits=WaitLimits(worker.patience_seconds, worker.t_max_seconds),
        deadline_seconds=worker.deadline_seconds,
        hold_seconds=worker.outage_hold_seconds,
    )


@asynccontextmanager
async def tracing(process: Process) -> AsyncGenerator[None]:
    telemetry = process.settings.telemetry
    name = f"gofleet-{process.roles[0]}" if len(process.roles) == 1 else "gofleet"
    service, endpoint = telemetry.service_name or name, telemetry.otlp_endpoint
    async with exporting(service, endpoint, telemetry.traces_sampler, telemetry.traces_sampler_arg) as provider:
        if provider is not None:
            set_tracer_provider(provider)  # for instrumentations of other libraries; OpenTelemetry takes the first only
        yield


@asynccontextmanager
async def operations(process: Process) -> AsyncGenerator[None]:
    """Server of /health and /metrics, on a separate port in every role."""
    app = HealthApp(process.checks, process.roles, process.stopping.is_set)
    set_build_info(process.roles)
    async with process.keeping(measure_loop_lag), AsyncExitStack() as stack:
        listening = await _listening(stack, app, process.settings)
        logger.info("metrics and health on port {}", listening.port)
        async with watched(process, listening):
            yield


async def _listening(stack: AsyncExitStack, app: HealthApp, settings: Settings) -> Listening:
    """Serve on METRICS_PORT, or on the next free port if the setting has its default: in development several roles run
    on one machine."""
    host, first = settings.telemetry.metrics_host, settings.telemetry.metrics_port
    last = first if settings.given("METRICS_PORT") else first + NEXT_PORTS
    for port in range(first, last):
        with suppress(PortInUse):
            return await stack.enter_async_context(serving(app, host, port))
    return await stack.enter_async_context(serving(app, host, last))


@asynccontextmanager
async def watched(process: Process, listening: Listening) -> AsyncGenerator[None]:
    """Stop the process if its server ends unexpectedly."""

    async def until_ended(stop: asyncio.Event) -> None:
        await first_of(stop, listening.ended)

    async with process.keeping(until_ended):
        yield


@asynccontextmanager
async def postgres(process: Process) -> AsyncGenerator[Pool]:
    """Connection pool, opened after the first contact with a database with the current schema and our privileges."""
    db, dsn = process.settings.postgres, conninfo(process.settings)
    server = ConfiguredServer(
        "PostgreSQL",
        f"{db.host}:{db.port}",
        "DB_HOST and DB_PORT",
        "DB_USER, DB_PASSWORD, DB_NAME, DB_SSLMODE and DB_SSLROOTCERT",
    )
    await until_answered(server, partial(_check_database, dsn, process.roles), process.stopping)
    pool = create_pool(
        dsn, size=db.pool_size, wait_seconds=db.pool_wait_seconds, answer_seconds=db.answer_timeout_seconds
    )

    async with pool:
        process.checks["postgres"] = partial(check_postgres_writes, pool)
        yield pool


async def _check_database(dsn: str, roles: Sequence[str]) -> None:
    try:
        await refuse_pooler(dsn)
        await asyncio.to_thread(check_privileges, dsn, roles)
        if "api" in roles:
            await refuse_foreign_history(dsn)
        pending = await asyncio.to_thread(missing_migrations, dsn)
    except psycopg.OperationalError as error:
        raise connection_error(error) from error
    if pending:
        raise MigrationError(f"the database lacks {', '.join(pending)}: run `gofleet migrate` first")


@asynccontextmanager
async def orders(process: Process) -> AsyncGenerator[PostgresOrders]:
    """Store of orders, which notifies the relays of new events."""
    pool, db = await process.use(postgres), process.settings.postgres
    notifier = OutboxNotifier(pool, linger_seconds=process.settings.relay.linger_ms / 1000)
    async with process.keeping(restarting("outbox notifier", notifier.run)):
        yield PostgresOrders(
            pool, notifier.notify, BatchLimits(db.batch, db.batches_at_once, db.batch_patience_ms / 1000)
        )


def a_redis(settings: Settings, timeout_seconds: float | None = None) -> Redis:
    """Redis client, to be closed by the caller; `timeout_seconds` overrides REDIS_TIMEOUT_SECONDS."""
    at = settings.redis
    return redis_client(
        at.host,
        at.port,
        user=at.user,
        password=at.password,
        db=at.db,
        tls=_redis_tls(settings),
        timeout_seconds=timeout_seconds or at.timeout_seconds,
    )


def _redis_tls(settings: Settings) -> SSLContext | None:
    at = settings.redis
    return client_tls_context(at.tls_authority) if at.tls == "on" else None


@asynccontextmanager
async def redis_login(process: Process) -> AsyncGenerator[None]:
    """The first contact with Redis, without which the roles start, too."""
    at, client = process.settings.redis, a_redis(process.settings)
    server = ConfiguredServer(
        "Redis",
        f"{at.host}:{at.port}",
        "REDIS_HOST and REDIS_PORT",
        "REDIS_USER, REDIS_PASSWORD, REDIS_DB and REDIS_TLS_CA",
    )
    try:
        async with process.keeping(contacting(server, partial(check_redis_login, client))):
            yield
    finally:
        await client.aclose()


@asynccontextmanager
async def rabbit_login(process: Process) -> AsyncGenerator[None]:
    """The first contact with RabbitMQ, without which the roles start, too."""
    at = process.settings.broker
    server = ConfiguredServer(
        "RabbitMQ",
        f"{at.host}:{at.port}",
        "RABBITMQ_HOST and AMQP_PORT",
        "RABBITMQ_USER, RABBITMQ_PASSWORD, RABBITMQ_VHOST and RABBITMQ_TLS_CA",
    )
    async with process.keeping(contacting(server, rabbit_server(process.settings).check_login)):
        yield


@asynccontextmanager
async def redis(process: Process) -> AsyncGenerator[Redis]:
    await process.use(redis_login)
    client = a_redis(process.settings)
    process.checks["redis"] = partial(check_redis_writes, client, process.settings.general.key_prefix)
    try:
        yield client
    finally:
        await client.aclose()


def fleet_certificates(settings: Settings) -> Certificates | None:
    """Certificates of the gRPC connection; None = unencrypted."""
    fleet = settings.fleet
    if not fleet.tls_authority:
        return None
    return Certificates(fleet.tls_authority, fleet.tls_certificate, fleet.tls_key)


@asynccontextmanager
async def fleet_client(process: Process) -> AsyncGenerator[GrpcFleet]:
    fleet = process.settings.fleet
    certificates = fleet_certificates(process.settings)
    async with GrpcFleet(
        fleet.host, fleet.port, timeout_seconds=fleet.timeout_seconds, certificates=certificates
    ) as client:
        yield client


def broker_login(settings: Settings) -> Part[None]:
    return redis_login if settings.general.broker == "redis" else rabbit_login


@asynccontextmanager
async def publisher(process: Process) -> AsyncGenerator[Publisher]:
    settings, timeout = process.settings, process.settings.broker.publish_timeout_seconds
    await process.use(broker_login(settings))
    if settings.general.broker == "redis":
        opening = StreamsPublisher(
            redis_url(settings), prefix=settings.general.key_prefix, timeout_seconds=timeout, tls=_redis_tls(settings)
        )
    else:
        opening = RabbitPublisher(rabbit_server(settings), topology_of(settings), timeout_seconds=timeout)
    async with opening as opened:
        process.checks["broker"] = opened.check
        yield opened


@asynccontextmanager
async def consumer(process: Process) -> AsyncGenerator[Consumer]:
    settings, broker = process.settings, process.settings.broker
    grace, timeout = settings.general.grace_seconds, broker.publish_timeout_seconds
    await process.use(broker_login(settings))
    if settings.general.broker == "redis":
        opened = StreamsConsumer(
            redis_url(settings),
            prefix=settings.general.key_prefix,
            min_idle_seconds=broker.reclaim_idle_seconds,
            delivery_limit=broker.delivery_limit,
            grace_seconds=grace,
            timeout_seconds=timeout,
            tls=_redis_tls(settings),
        )
    else:
        opened = RabbitConsumer(
            rabbit_server(settings), topology_of(settings), grace_seconds=grace, timeout_seconds=timeout
        )
    async with process.keeping(opened.supervisor):
        process.checks["consuming"] = opened.supervisor.check
        yield opened


def redis_url(settings: Settings) -> str:
    at = settings.redis
    login = f"{quote(at.user, safe='')}:{quote(at.password, safe='')}@" if at.user or at.password else ""
    host = f"[{at.host}]" if ":" in at.host else at.host
    return f"redis://{login}{host}:{at.port}/{at.db}"


def rabbit_server(settings: Settings) -> RabbitServer:
    at = settings.broker
    tls = client_tls_context(at.tls_authority) if at.tls == "on" else None
    return RabbitServer(at.host, at.port, at.user, at.password, at.vhost, at.heartbeat_seconds, tls=tls)
