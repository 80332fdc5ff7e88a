"""Publishes what the outbox promised, and sweeps what has waited for too long. Any number of relays share the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from loguru import logger

from gofleet import parts
from gofleet.adapters.postgres.doorbell import listening
from gofleet.adapters.postgres.outbox import PostgresOutbox
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.domain.errors import Unavailable
from gofleet.process import Process, repeat
from gofleet.telemetry.metrics import OUTBOX_OLDEST_SECONDS, OUTBOX_UNPUBLISHED, PARKED_MESSAGES
from gofleet.telemetry.observed import CountedPublisher, observed
from gofleet.usecases.relay_outbox import RelayOutbox
from gofleet.usecases.replay_parked import ReplayParked
from gofleet.usecases.sweep_orders import SweepOrders

REST_SECONDS = 0.5
MEASURE_SECONDS = 5.0
REPLAYED_AT_ONCE = 20
"""Parked messages put back in one transaction: few, for their bodies may be large."""


@asynccontextmanager
async def relay(process: Process) -> AsyncGenerator[None]:
    settings = process.settings.relay
    await process.use(parts.operations)
    await process.use(parts.tracing)
    outbox = PostgresOutbox(await process.use(parts.postgres), max_attempts=settings.max_attempts)
    publisher = CountedPublisher(await process.use(parts.publisher))
    relay_outbox = RelayOutbox(outbox, publisher, settings.batch)
    wake = asyncio.Event()
    listen = partial(listening, parts.conninfo(process.settings), wake.set)
    relaying = partial(repeat, outliving_outages(observed(relay_outbox), "relay"), settings.poll_seconds, wake=wake)
    sweep_orders = SweepOrders(await process.use(parts.orders), process.settings.worker.t_max_seconds, settings.batch)
    sweep = outliving_outages(observed(sweep_orders), "sweeper")
    parked = PostgresParked(await process.use(parts.postgres))
    replay = outliving_outages(observed(ReplayParked(parked, publisher, REPLAYED_AT_ONCE)), "replay")
    measure = measuring(outbox, parked)
    async with (
        process.keeping(listen),
        process.keeping(lambda stop: relaying(stop=stop)),
        process.keeping(partial(repeat, sweep, settings.sweep_seconds)),
        process.keeping(partial(repeat, replay, settings.poll_seconds)),
        process.keeping(partial(repeat, measure, MEASURE_SECONDS)),
    ):
        logger.info("relaying")
        yield


def measuring(outbox: PostgresOutbox, parked: PostgresParked) -> Callable[[], Awaitable[None]]:
    """What an operator watches; while PostgreSQL is away the last figures stand."""

    async def measure() -> None:
        with suppress(Unavailable):
            unpublished, oldest_seconds = await outbox.lag()
            OUTBOX_UNPUBLISHED.set(unpublished)
            OUTBOX_OLDEST_SECONDS.set(oldest_seconds)
            PARKED_MESSAGES.set(await parked.count())

    return measure


def outliving_outages(act: Callable[[], Awaitable[int]], name: str) -> Callable[[], Awaitable[int]]:
    """The act, answering 0 while what it needs is away: an outage of the broker only delays."""

    away = False

    async def tried() -> int:
        nonlocal away
        try:
            done = await act()
        except Unavailable as error:
            if not away:
                logger.warning("{} waits: {}", name, error)
            away = True
            # New orders ring the bell all the while; without a rest each ring would be a try.
            await asyncio.sleep(REST_SECONDS)
            return 0
        if away:
            logger.info("{} goes on", name)
        away = False
        return done

    return tried
