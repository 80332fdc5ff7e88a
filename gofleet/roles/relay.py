"""The relay role: publishes the outbox, escalates orders that waited too long, deletes expired rows.

Any number of relays share the work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from loguru import logger

from gofleet import parts
from gofleet.adapters.postgres.indicators import PostgresDeadlines
from gofleet.adapters.postgres.notify import listen
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresFailedEvents, PostgresInbox, PostgresOutbox
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.process import Process, Work, restarting
from gofleet.roles.relay_loop import WakeUp, relay_loop
from gofleet.roles.retries import Periodic, retry_on_outage
from gofleet.telemetry.instrumentation import InstrumentedPublisher, observed
from gofleet.telemetry.metrics import (
    FIGURES_TIMESTAMP,
    OLDEST_PENDING_SECONDS,
    OUTBOX_FAILED,
    OUTBOX_OLDEST_SECONDS,
    OUTBOX_UNPUBLISHED,
    PARKED_MESSAGES,
)
from gofleet.usecases.maintenance import PruneExpiredRows, RepublishPending, Retention, SweepOrders
from gofleet.usecases.relay import RelayOutbox, ReplayParked

MEASURE_SECONDS = 5.0


@asynccontextmanager
async def relay(process: Process) -> AsyncGenerator[None]:
    settings = process.settings.relay
    await process.use(parts.operations)
    await process.use(parts.tracing)
    outbox = PostgresOutbox(await process.use(parts.postgres), max_attempts=settings.max_attempts)
    publisher = InstrumentedPublisher(await process.use(parts.publisher), process.settings.general.broker)
    pool, orders = await process.use(parts.postgres), await process.use(parts.orders)
    inbox, parked = PostgresInbox(pool), PostgresParked(pool)
    wake_up, batch = WakeUp(), settings.batch
    relay_outbox = observed(RelayOutbox(outbox, publisher, batch))
    retention = Retention(settings.outbox_keep_days, settings.inbox_keep_days, settings.parked_keep_days)
    replay = ReplayParked(parked, publisher, settings.replay_batch)
    republish = RepublishPending(orders, settings.announce_again_seconds, batch)
    sweep = SweepOrders(orders, process.settings.worker.t_max_seconds, batch)
    prune = PruneExpiredRows(orders, outbox, inbox, parked, retention, settings.prune_batch)
    deadlines = PostgresDeadlines(pool, settings.judge_batch)
    measure = partial(measure_backlog, outbox, parked, orders, PostgresFailedEvents(pool), deadlines)
    relaying = retry_on_outage(relay_outbox, "relay"), retry_on_outage(relay_outbox, "second relay")
    loops: list[Work] = [
        restarting("listening", partial(listen, parts.conninfo(process.settings), wake_up.notify)),
        *(restarting("relay", partial(relay_loop, act, wake_up, settings.poll_seconds)) for act in relaying),
        Periodic("replay", observed(replay), settings.poll_seconds),
        Periodic("republisher", observed(republish), settings.sweep_seconds),
        Periodic("sweeper", observed(sweep), settings.sweep_seconds),
        Periodic("pruner", observed(prune), settings.prune_seconds),
        Periodic("measurement", measure, MEASURE_SECONDS),
    ]
    async with AsyncExitStack() as stack:
        for loop in loops:
            await stack.enter_async_context(process.keeping(loop))
        logger.info("relaying")
        yield


async def measure_backlog(
    outbox: PostgresOutbox,
    parked: PostgresParked,
    orders: PostgresOrders,
    failed_events: PostgresFailedEvents,
    deadlines: PostgresDeadlines,
) -> int:
    """Set the gauges of the backlog. Nonzero as long as orders are left whose deadline was not evaluated.

    While PostgreSQL is unavailable the gauges keep their last values, and FIGURES_TIMESTAMP shows how old they are.
    """
    unpublished, oldest_seconds = await outbox.lag()
    OUTBOX_UNPUBLISHED.set(unpublished)
    OUTBOX_OLDEST_SECONDS.set(oldest_seconds)
    OUTBOX_FAILED.set(await failed_events.count())
    PARKED_MESSAGES.set(await parked.count())
    OLDEST_PENDING_SECONDS.set(await orders.oldest_pending_seconds())
    evaluated = await deadlines.evaluate()
    FIGURES_TIMESTAMP.set_to_current_time()
    return int(evaluated.more)
