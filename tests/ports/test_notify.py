"""Notifications of pending events, on a real database."""

from __future__ import annotations

import asyncio

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
        listener = asyncio.create_task(listen(conninfo, lambda: received.append(1), stop))
        await eventually(lambda: received)  # once when it starts to listen

        async def arrived() -> bool:
            notifier.notify()
            return len(received) > 1

        await eventually(arrived, every=0.05)
        before = len(received)
        async with pool.connection() as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s", (APPLICATION,)
            )

        async def arrived_again() -> bool:
            notifier.notify()
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
                notifier.notify()
                await asyncio.sleep(0)
            received = [notification async for notification in listener.notifies(timeout=0.3)]
        stop.set()
        await sending

    assert 1 <= len(received) < 20
