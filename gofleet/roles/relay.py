"""Publishes what the outbox promised, sweeps what has waited for too long, forgets what is long over.

Any number of relays share the work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from loguru import logger

from gofleet import parts
from gofleet.adapters.postgres.deadlines import PostgresDeadlines
from gofleet.adapters.postgres.failed_events import PostgresFailedEvents
from gofleet.adapters.postgres.inbox import PostgresInbox
from gofleet.adapters.postgres.notify import listen
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresOutbox
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.process import Process, repeat
from gofleet.roles.relay_loop import WakeUp, relay_loop
from gofleet.roles.retries import log_and_retry, retry_on_outage
from gofleet.telemetry.instrumentation import InstrumentedPublisher, observed
from gofleet.telemetry.metrics import (
    FIGURES_TIMESTAMP,
    OLDEST_PENDING_SECONDS,
    OUTBOX_FAILED,
    OUTBOX_OLDEST_SECONDS,
    OUTBOX_UNPUBLISHED,
    PARKED_MESSAGES,
)
from gofleet.usecases.maintenance import PruneMessages, RepublishPending, Retention, SweepOrders
from gofleet.usecases.relay import RelayOutbox, ReplayParked

MEASURE_SECONDS = 5.0


@asynccontextmanager
async def relay(process: Process) -> AsyncGenerator[None]:
    settings = process.settings.relay
    await process.use(parts.operations)
    await process.use(parts.tracing)
    outbox = PostgresOutbox(await process.use(parts.postgres), max_attempts=settings.max_attempts)
    publisher = InstrumentedPublisher(await process.use(parts.publisher), process.settings.general.broker)
    relay_outbox = RelayOutbox(outbox, publisher, settings.batch)
    bell = WakeUp()
    listening = partial(listen, parts.conninfo(process.settings), bell.notify)
    one, other = (
        partial(relay_loop, retry_on_outage(observed(relay_outbox), name), settings.batch, bell, settings.poll_seconds)
        for name in ("relay", "second relay")
    )
    pool, orders = await process.use(parts.postgres), await process.use(parts.orders)
    republish_pending = RepublishPending(orders, settings.announce_again_seconds, settings.batch)
    sweep_orders = SweepOrders(orders, process.settings.worker.t_max_seconds, settings.batch)
    inbox, parked = PostgresInbox(pool), PostgresParked(pool)
    retention = Retention(settings.outbox_keep_days, settings.inbox_keep_days, settings.parked_keep_days)
    prune_messages = PruneMessages(outbox, inbox, parked, retention, settings.prune_batch)
    replay = log_and_retry(observed(ReplayParked(parked, publisher, settings.replay_batch)), "replay")
    measure = measuring(
        outbox, parked, orders, PostgresFailedEvents(pool), PostgresDeadlines(pool, settings.judge_batch)
    )
    async with (
        process.keeping(listening),
        process.keeping(one),
        process.keeping(other),
        process.keeping(partial(repeat, replay, settings.poll_seconds)),
        process.keeping(
            partial(repeat, log_and_retry(observed(republish_pending), "announcer"), settings.sweep_seconds)
        ),
        process.keeping(partial(repeat, log_and_retry(observed(sweep_orders), "sweeper"), settings.sweep_seconds)),
        process.keeping(partial(repeat, log_and_retry(observed(prune_messages), "pruner"), settings.prune_seconds)),
        process.keeping(partial(repeat, measure, MEASURE_SECONDS)),
    ):
        logger.info("relaying")
        yield


def measuring(
    outbox: PostgresOutbox,
    parked: PostgresParked,
    orders: PostgresOrders,
    failed_events: PostgresFailedEvents,
    deadlines: PostgresDeadlines,
) -> Callable[[], Awaitable[int]]:
    """What an operator watches; while PostgreSQL is away the last figures stand, and their time tells it. Not 0 as long
    as orders are left to be judged."""

    async def measure() -> int:
        unpublished, oldest_seconds = await outbox.lag()
        OUTBOX_UNPUBLISHED.set(unpublished)
        OUTBOX_OLDEST_SECONDS.set(oldest_seconds)
        OUTBOX_FAILED.set(await failed_events.count())
        PARKED_MESSAGES.set(await parked.count())
        OLDEST_PENDING_SECONDS.set(await orders.oldest_pending_seconds())
        judged = await deadlines.evaluate()
        FIGURES_TIMESTAMP.set_to_current_time()
        return int(judged.more)

    return log_and_retry(measure, "figures")
