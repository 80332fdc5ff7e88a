"""The worker role: dispatches the order of each event, or escalates it to manual dispatch."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from loguru import logger

from gofleet import parts
from gofleet.adapters.postgres.outbox import PostgresInbox
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.adapters.redis.leases import RedisLeases
from gofleet.domain.errors import FleetUnavailable
from gofleet.domain.messages import DISPATCH_QUEUE, parking_queue
from gofleet.guards.breaker import BreakerState, GuardedFleet, RatioBreaker
from gofleet.guards.chain import dispatch_chain, drain_chain
from gofleet.process import Process
from gofleet.settings import Settings
from gofleet.telemetry.instrumentation import handled
from gofleet.telemetry.metrics import BREAKER_STATE
from gofleet.usecases.dispatch_order import DispatchOrder, SearchRadius


@asynccontextmanager
async def worker(process: Process) -> AsyncGenerator[None]:
    settings, rules = process.settings, parts.rules(process.settings)
    await process.use(parts.operations)
    await process.use(parts.tracing)
    orders, pool = await process.use(parts.orders), await process.use(parts.postgres)
    inbox, parked = PostgresInbox(pool), PostgresParked(pool)
    leases = RedisLeases(
        await process.use(parts.redis),
        prefix=settings.general.key_prefix,
        lease_ms=round(settings.worker.lease_seconds * 1000),
        done_seconds=settings.worker.done_mark_seconds,
    )
    fleet = GuardedFleet(await process.use(parts.fleet_client), breaker(settings))
    reach = SearchRadius(settings.fleet.radius_km, settings.fleet.max_radius_km, settings.worker.patience_seconds)
    dispatch = dispatch_chain(
        DispatchOrder(orders, inbox, fleet, reach, parts.depot(settings)),
        orders=orders,
        inbox=inbox,
        leases=leases,
        parked=parked,
        rules=rules,
        stopping=process.stopping,
    )
    drain = drain_chain(parked, rules=rules, stopping=process.stopping)
    consumer = await process.use(parts.consumer)
    concurrency, prefetch = settings.worker.concurrency, settings.worker.prefetch
    watched = partial(handled, system=settings.general.broker)
    async with (
        consumer.consuming(parking_queue(DISPATCH_QUEUE), watched(drain), concurrency=1, prefetch=1),
        consumer.consuming(DISPATCH_QUEUE, watched(dispatch), concurrency=concurrency, prefetch=prefetch),
    ):
        logger.info("dispatching {} orders at once", concurrency)
        yield


def breaker(settings: Settings) -> RatioBreaker:
    """The circuit breaker around the fleet service, its state exported as a metric."""
    at = settings.breaker

    def show(_: BreakerState, now: BreakerState) -> None:
        BREAKER_STATE.set(now.number)
        logger.warning("fleet breaker is {}", now)

    return RatioBreaker(
        min_calls=at.min_calls,
        failure_ratio=at.failure_ratio,
        window_seconds=at.window_seconds,
        open_seconds=at.open_seconds,
        probes=at.probes,
        counts=(FleetUnavailable,),
        on_change=show,
    )
