"""Notifications of pending events, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic

import psycopg

from gofleet.adapters.postgres.notify import OutboxNotifier, listen
from gofleet.adapters.postgres.pool import create_pool
from tests.waiting import eventually

APPLICATION = "notify-listener"


async def test_notifications_arrive_also_after_the_connection_was_lost(clean_database: str) -> None:
    received, stop = list[int](), asyncio.Event()
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        notifier = OutboxNotifier(pool)
        sending = asyncio.create_task(notifier.run(stop))
        conninfo = f"{clean_database} application_name={APPLICATION}"
        listener = asyncio.create_task(listen(conninfo, lambda _: received.append(1), stop))
        await eventually(lambda: received)  # once when it starts to listen

        async def arrived() -> bool:
            notifier.notify(True)
            return len(received) > 1

        await eventually(arrived, every=0.05)
        before = len(received)
        async with pool.connection() as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s", (APPLICATION,)
            )

        async def arrived_again() -> bool:
            notifier.notify(True)
            return len(received) > before + 1

        await eventually(arrived_again, every=0.05)
        stop.set()
        await asyncio.wait_for(asyncio.gather(sending, listener), 5)


async def test_many_calls_are_few_statements(clean_database: str) -> None:
    stop = asyncio.Event()
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        notifier = OutboxNotifier(pool, pause_seconds=0.05)
        sending = asyncio.create_task(notifier.run(stop))
        async with await psycopg.AsyncConnection.connect(clean_database, autocommit=True) as listener:
            await listener.execute("listen gofleet_outbox")
            for _ in range(500):
                notifier.notify(True)
                await asyncio.sleep(0)
            received = [notification async for notification in listener.notifies(timeout=0.3)]
        stop.set()
        await sending

    assert 1 <= len(received) < 20


async def test_an_event_that_no_dispatch_waits_for_lingers(clean_database: str) -> None:
    async with notified(clean_database, linger_seconds=0.2) as (notifier, received):
        began = monotonic()
        notifier.notify(False)
        notifier.notify(False)
        await eventually(lambda: received)

        assert monotonic() - began >= 0.2
        assert 0.2 <= received[0] < 5  # seconds since the newest of the two commits, at least
        assert len(received) == 1


async def test_an_urgent_notification_takes_the_lingering_ones_along(clean_database: str) -> None:
    async with notified(clean_database, linger_seconds=0.2) as (notifier, received):
        notifier.notify(False)
        notifier.notify(True)
        await eventually(lambda: received)
        assert received[0] < 0.2

        await asyncio.sleep(0.4)  # the linger of the first one has passed
        assert len(received) == 1


async def test_payloads_of_other_releases_are_new_commits(clean_database: str) -> None:
    async with notified(clean_database) as (_, received):
        async with await psycopg.AsyncConnection.connect(clean_database, autocommit=True) as foreign:
            for payload in ("", "-1", "1e3", "9" * 100):
                await foreign.execute("select pg_notify('gofleet_outbox', %s)", [payload])
        await eventually(lambda: len(received) == 4)
        assert received == [0.0] * 4


@asynccontextmanager
async def notified(conninfo: str, **options: float) -> AsyncGenerator[tuple[OutboxNotifier, list[float]]]:
    """A running notifier, and the ages that a listener was given since it began to listen."""
    received, stop = list[float](), asyncio.Event()
    async with create_pool(conninfo, size=2, wait_seconds=5) as pool:
        notifier = OutboxNotifier(pool, **options)
        running = asyncio.gather(notifier.run(stop), listen(conninfo, received.append, stop))
        await eventually(lambda: received)
        received.clear()
        yield notifier, received
        stop.set()
        await asyncio.wait_for(running, 5)
