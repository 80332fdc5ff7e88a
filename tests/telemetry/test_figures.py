"""Gauges of the relay, also while PostgreSQL is unavailable."""

from __future__ import annotations

import time
from functools import partial

import psycopg

from gofleet.adapters.postgres.indicators import PostgresDeadlines
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresFailedEvents, PostgresOutbox
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.messages import DISPATCH_QUEUE, Delivery
from gofleet.domain.parked import CRASH_LOOP
from gofleet.roles.relay import measure_backlog
from gofleet.roles.retries import log_and_retry
from tests.makers import an_order
from tests.telemetry.moved import moved, sample


async def test_gauges_keep_their_values_while_postgres_is_unavailable(clean_database: str) -> None:
    async with create_pool(clean_database, size=2, wait_seconds=0.2) as pool:
        orders, parked = PostgresOrders(pool), PostgresParked(pool)
        act = partial(
            measure_backlog, PostgresOutbox(pool), parked, orders, PostgresFailedEvents(pool), PostgresDeadlines(pool)
        )
        measure = log_and_retry(act, "measurement")
        for number in range(3):
            await orders.add(an_order(f"o-{number}"))
        with moved("gofleet_messages_parked_total", queue=DISPATCH_QUEUE):
            await parked.add(Delivery(DISPATCH_QUEUE, b""), CRASH_LOOP)
        with psycopg.connect(clean_database, autocommit=True) as connection:
            connection.execute("update orders set pending_since = now() - interval '70 seconds' where id = 'o-1'")
            connection.execute(
                "update outbox set created_at = now() - interval '40 seconds' where aggregate_id = 'o-1'"
            )
            connection.execute("update outbox set failed_at = now() where aggregate_id = 'o-2'")

        began = time.time()
        await measure()

        assert sample("gofleet_outbox_unpublished") == 3
        assert sample("gofleet_outbox_failed") == sample("gofleet_parked_messages") == 1
        assert 40 <= (sample("gofleet_outbox_oldest_seconds") or 0) < 60
        assert 70 <= (sample("gofleet_oldest_pending_seconds") or 0) < 90
        counted_at = sample("gofleet_figures_timestamp_seconds") or 0
        assert counted_at >= began

    await measure()

    assert sample("gofleet_outbox_unpublished") == 3
    assert sample("gofleet_figures_timestamp_seconds") == counted_at
