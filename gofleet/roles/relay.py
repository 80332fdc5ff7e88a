"""Publishes what the outbox promised. Any number of relays share the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from loguru import logger

from gofleet import parts
from gofleet.adapters.postgres.doorbell import listening
from gofleet.adapters.postgres.outbox import PostgresOutbox
from gofleet.domain.errors import Unavailable
from gofleet.process import Process, repeat
from gofleet.telemetry.observed import CountedPublisher, observed
from gofleet.usecases.relay_outbox import RelayOutbox

REST_SECONDS = 0.5


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
    relaying = partial(repeat, outliving_outages(observed(relay_outbox)), settings.poll_seconds, wake=wake)
    async with process.keeping(listen), process.keeping(lambda stop: relaying(stop=stop)):
        logger.info("relaying")
        yield


def outliving_outages(act: Callable[[], Awaitable[int]]) -> Callable[[], Awaitable[int]]:
    """The act, answering 0 while what it needs is away: an outage of the broker only delays."""

    away = False

    async def tried() -> int:
        nonlocal away
        try:
            done = await act()
        except Unavailable as error:
            if not away:
                logger.warning("relay waits: {}", error)
            away = True
            # New orders ring the bell all the while; without a rest each ring would be a try.
            await asyncio.sleep(REST_SECONDS)
            return 0
        if away:
            logger.info("relay goes on")
        away = False
        return done

    return tried
