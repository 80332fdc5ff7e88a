"""The bell beside the commit, on a real database."""

from __future__ import annotations

import asyncio

import psycopg

from gofleet.adapters.postgres.notify import OutboxNotifier, listen
from gofleet.adapters.postgres.pool import create_pool
from tests.waiting import eventually

APPLICATION = "bell-listener"


async def test_a_ring_is_heard_also_after_the_connection_was_lost(clean_database: str) -> None:
    heard, stop = list[int](), asyncio.Event()
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        bell = OutboxNotifier(pool)
        ringing = asyncio.create_task(bell.run(stop))
        ears = f"{clean_database} application_name={APPLICATION}"
        listener = asyncio.create_task(listen(ears, lambda: heard.append(1), stop))
        await eventually(lambda: heard)  # it calls once when it begins to listen

        async def rung() -> bool:
            bell.notify()
            return len(heard) > 1

        await eventually(rung, every=0.05)
        before = len(heard)
        async with pool.connection() as link:
            await link.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s", (APPLICATION,)
            )

        async def rung_again() -> bool:
            bell.notify()
            return len(heard) > before + 1

        await eventually(rung_again, every=0.05)
        stop.set()
        await asyncio.wait_for(asyncio.gather(ringing, listener), 5)


async def test_many_rings_are_few_statements(clean_database: str) -> None:
    stop = asyncio.Event()
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        bell = OutboxNotifier(pool, pause_seconds=0.05)
        ringing = asyncio.create_task(bell.run(stop))
        async with await psycopg.AsyncConnection.connect(clean_database, autocommit=True) as ear:
            await ear.execute("listen gofleet_outbox")
            for _ in range(500):
                bell.notify()
                await asyncio.sleep(0)
            heard = [note async for note in ear.notifies(timeout=0.3)]
        stop.set()
        await ringing

    assert 1 <= len(heard) < 20
