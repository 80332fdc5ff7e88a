"""The fleet role: positions and searches of drivers over gRPC, kept in Redis and updated from order events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from loguru import logger

from gofleet import parts
from gofleet.adapters.grpc.server import fleet_server
from gofleet.adapters.postgres.drivers import PostgresDrivers
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.messages import FLEET_QUEUE, parking_queue
from gofleet.guards.chain import drain_chain, follow_chain
from gofleet.process import Process
from gofleet.roles.retries import Periodic
from gofleet.telemetry.instrumentation import handled, observed
from gofleet.usecases.drivers import FollowOrders, ReconcileDrivers


@asynccontextmanager
async def fleet(process: Process) -> AsyncGenerator[None]:
    settings = process.settings.fleet
    await process.use(parts.operations)
    await process.use(parts.tracing)
    positions = RedisPositions(
        await process.use(parts.redis),
        prefix=process.settings.general.key_prefix,
        stale_seconds=settings.position_stale_seconds,
        claim_ms=round(settings.claim_seconds * 1000),
    )
    pool = await process.use(parts.postgres)
    drivers = PostgresDrivers(pool)
    reconcile = ReconcileDrivers(PostgresOrders(pool), drivers, positions, settings.reconcile_batch)
    parked, rules = PostgresParked(pool), parts.rules(process.settings)
    follow = follow_chain(FollowOrders(positions), parked=parked, rules=rules, stopping=process.stopping)
    drain = drain_chain(parked, rules=rules, stopping=process.stopping)
    consumer = await process.use(parts.consumer)
    watched = partial(handled, system=process.settings.general.broker)
    async with (
        process.keeping(Periodic("reconciler", observed(reconcile), settings.reconcile_seconds, again=False)),
        consumer.consuming(parking_queue(FLEET_QUEUE), watched(drain), concurrency=1, prefetch=1),
        consumer.consuming(FLEET_QUEUE, watched(follow), concurrency=settings.concurrency, prefetch=settings.prefetch),
        fleet_server(
            positions,
            drivers,
            host=settings.listen_host,
            port=settings.port,
            depot=parts.depot(process.settings),
            default_radius_km=settings.radius_km,
            max_radius_km=settings.max_radius_km,
            claim_ms=round(settings.claim_seconds * 1000),
            message_bytes_max=settings.max_message_bytes,
            connections_max=settings.max_connections,
            control_frames_max=settings.max_control_frames,
            grace_seconds=process.settings.general.grace_seconds,
            certificates=parts.fleet_certificates(process.settings),
            callers=settings.callers,
            reflection=process.settings.general.environment != "production",
        ) as port,
    ):
        logger.info("fleet on port {}", port)
        yield
