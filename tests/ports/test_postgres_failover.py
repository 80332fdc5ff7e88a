"""The address of PostgreSQL leads to a demoted server, then to the promoted one, while orders come in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import pytest
from psycopg.conninfo import make_conninfo

from gofleet.adapters.postgres.notify import CHANNEL, listen
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import Pool, acquire, check_postgres_writes, create_pool
from gofleet.domain.errors import OrderNotFound, Unavailable
from gofleet.waiting import sleep_unless
from tests.chaos.proxy import Edge, an_edge
from tests.logs import logged
from tests.makers import an_order
from tests.ports.standby import Pair, a_pair, execute
from tests.waiting import eventually

POOL_SIZE = 20
WRITERS = 4
ANSWER_SECONDS = 1.0
BACK_SECONDS = 2.0


@dataclass
class Load:
    """Adds orders without a pause and reads each one back."""

    pool: Pool
    added: int = 0
    unread: list[str] = field(default_factory=list[str])
    """Orders that were added and then not found."""

    async def run(self, writer: int, stop: asyncio.Event) -> None:
        orders = PostgresOrders(self.pool)
        for number in count():
            if stop.is_set():
                return
            id = f"o-{writer}-{number}"
            try:
                await orders.add(an_order(id))
                self.added += 1
                await orders.get(id)
            except Unavailable:
                await asyncio.sleep(0.01)
            except OrderNotFound:
                self.unread.append(id)


@asynccontextmanager
async def under_load(pair: Pair, edge: Edge) -> AsyncGenerator[Load]:
    address = make_conninfo(pair.database, host="127.0.0.1", port=edge.port)
    async with create_pool(address, size=POOL_SIZE, wait_seconds=1, answer_seconds=ANSWER_SECONDS) as pool:
        load, stop = Load(pool), asyncio.Event()
        writers = [asyncio.create_task(load.run(number, stop)) for number in range(WRITERS)]
        try:
            await eventually(lambda: load.added > 50)
            yield load
        finally:
            stop.set()
            await asyncio.gather(*writers)


async def is_ready(pool: Pool) -> bool:
    try:
        await check_postgres_writes(pool)
    except Unavailable:
        return False
    return True


async def restarted_as_standby(pair: Pair) -> None:
    await pair.demote()


async def read_only_with_its_connections(pair: Pair) -> None:
    """As behind a proxy or a managed address that keeps the connections to the demoted server open."""
    await execute(pair.database, "alter system set default_transaction_read_only = on")
    await execute(pair.database, "select pg_reload_conf()")


async def is_red(pool: Pool) -> bool:
    return not await is_ready(pool)


@pytest.mark.parametrize("demote", [restarted_as_standby, read_only_with_its_connections])
async def test_orders_are_written_again_soon_after_the_address_has_moved(
    demote: Callable[[Pair], Awaitable[None]],
) -> None:
    async with a_pair() as pair, an_edge("postgres", lambda: [target.address.port]) as edge:
        target = pair.primary
        async with under_load(pair, edge) as load:
            assert await is_ready(load.pool)
            await demote(pair)
            await eventually(partial(is_red, load.pool))
            await asyncio.sleep(1.5)  # for connections that are older than any pause to have filled the pool
            assert not await is_ready(load.pool)
            await pair.promote()
            assert not await is_ready(load.pool)

            target, added, moved_at = pair.standby, load.added, time.monotonic()
            await eventually(lambda: load.added > added + 100)

            assert time.monotonic() - moved_at < BACK_SECONDS
            await eventually(partial(is_ready, load.pool), within=BACK_SECONDS)
            assert not load.unread


async def test_listening_begins_again_after_the_address_has_moved() -> None:
    """The demoted server still accepts LISTEN, but never notifies."""
    async with a_pair() as pair, an_edge("postgres", lambda: [target.address.port]) as edge:
        target = pair.primary
        woken, stop = asyncio.Event(), asyncio.Event()
        address = make_conninfo(pair.database, host="127.0.0.1", port=edge.port)
        listening = asyncio.create_task(listen(address, lambda _: woken.set(), stop))
        await woken.wait()
        await read_only_with_its_connections(pair)
        await pair.promote()
        target = pair.standby

        async def is_notified() -> bool:
            woken.clear()
            await execute(promoted, f"notify {CHANNEL}")
            return await sleep_unless(woken, 0.2)

        promoted = make_conninfo(pair.database, port=pair.standby.address.port)
        await eventually(is_notified)
        stop.set()
        await listening


async def test_no_connection_to_a_hung_server_is_used_again_once_another_answers() -> None:
    """Each of them would cost the next caller another wait for an answer."""
    async with (
        a_pair() as pair,
        an_edge("primary", lambda: [pair.primary.address.port]) as hung,
        an_edge("postgres", lambda: [target]) as edge,
    ):
        target = hung.port
        async with under_load(pair, edge) as load:
            await asyncio.gather(*(_occupy(load.pool) for _ in range(POOL_SIZE)))
            hung.silence()
            await pair.promote()
            with logged() as lines:
                target, added, moved_at = pair.standby.address.port, load.added, time.monotonic()
                await eventually(lambda: load.added > added + 100)
                assert time.monotonic() - moved_at < ANSWER_SECONDS + BACK_SECONDS
                await asyncio.gather(*(_occupy(load.pool) for _ in range(POOL_SIZE)))
            assert sum("does not answer" in line for line in lines) == 1


async def _occupy(pool: Pool) -> None:
    """Use a connection for so long that others are opened."""
    async with acquire(pool) as connection:
        await connection.execute("select pg_sleep(0.2)")
