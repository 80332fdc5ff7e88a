"""An installation of the release before works on while its schema is migrated, a million orders in it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from gofleet.adapters.postgres.migrate import apply_migrations, load_migrations
from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.embedded import Postgres
from tests.databases import conninfo_of, login_of, make_logins
from tests.waiting import eventually

BEFORE = "0017_registered_drivers"
"""The last migration of the release before."""
WAIT_SECONDS = 0.5
"""Of a second that a write may wait: with an index built in a transaction it waits for 0.8, as it is for 0.03."""
WRITERS = 4

# Without triggers, which look at every row.
FILL: tuple[LiteralString, ...] = (
    "set session_replication_role = replica",
    "insert into orders (id, price, tax, final_price, status, driver_id, version, moved_by)"
    " select 'o-' || n, 100, 10, 110, 'DELIVERED', 'ana', 3, 'worker' from generate_series(1, 1000000) as n",
    "insert into order_log (order_id, was, became, driver_id, version, actor)"
    " select id, was, became, driver_id, move.version, 'worker' from orders, (values"
    " (null, 'PENDING', 1), ('PENDING', 'DISPATCHED', 2), ('DISPATCHED', 'DELIVERED', 3)"
    ") as move (was, became, version)",
    "set session_replication_role = origin",
    "analyze",
)
# What the release before writes, as far as the migrations concern it.
CREATE = "insert into orders (id, price, tax, final_price, moved_by) values (%(id)s, 100, 10, 110, 'client')"
MOVE = (
    "update orders set status = %(status)s, driver_id = %(driver_id)s, version = version + 1, moved_by = 'worker'"
    " where id = %(id)s"
)


@pytest.fixture
def database_of_before(postgres_server: Postgres) -> Generator[str]:
    name = f"before_{uuid4().hex[:12]}"
    with psycopg.connect(conninfo_of(postgres_server, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        conninfo = conninfo_of(postgres_server, name)
        apply_migrations(conninfo, known=[each for each in load_migrations() if each.name <= BEFORE])
        make_logins(conninfo)
        with psycopg.connect(conninfo, autocommit=True, options="-c statement_timeout=0") as filling:
            for statement in FILL:
                filling.execute(statement)
        yield conninfo
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@dataclass
class Work:
    """Orders that are created, dispatched and delivered until `ended`, each write by the login of its role."""

    api: Pool
    worker: Pool
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    took: list[float] = field(default_factory=list[float])

    async def write(self, driver_id: str) -> None:
        for number in itertools.count():
            if self.ended.is_set():
                return
            order = {"id": f"beside-{driver_id}-{number}", "driver_id": driver_id}
            await self._execute(self.api, CREATE, order)
            await self._execute(self.worker, MOVE, {**order, "status": "DISPATCHED"})
            await self._execute(self.api, MOVE, {**order, "status": "DELIVERED"})

    async def _execute(self, pool: Pool, statement: LiteralString, values: dict[str, str]) -> None:
        began = time.monotonic()
        async with pool.connection() as connection:
            assert (await connection.execute(statement, values)).rowcount == 1
        self.took.append(time.monotonic() - began)


@pytest.mark.timeout(300)
async def test_orders_are_written_while_the_schema_is_migrated(database_of_before: str) -> None:
    async with AsyncExitStack() as stack:
        api, worker = [
            await stack.enter_async_context(
                create_pool(make_conninfo(database_of_before, user=login_of(role)), size=WRITERS, wait_seconds=5)
            )
            for role in ("api", "worker")
        ]
        work = Work(api, worker)
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(work.write(f"driver-{number}"))
            await eventually(lambda: len(work.took) > 100, within=30)
            applied = await asyncio.to_thread(apply_migrations, database_of_before)
            migrated = len(work.took)
            await eventually(lambda: len(work.took) > migrated + 100, within=30)
            work.ended.set()

    assert applied == len([each for each in load_migrations() if each.name > BEFORE])
    assert max(work.took) < WAIT_SECONDS
    with psycopg.connect(database_of_before) as connection:
        histories = connection.execute(
            "select distinct array_agg(became order by version), array_agg(coalesce(kind, '') order by version)"
            " from order_log where order_id like 'beside-%' group by order_id"
        ).fetchall()
    assert {tuple(became) for became, _ in histories} == {("PENDING", "DISPATCHED", "DELIVERED")}
    assert ["created", "dispatched", "delivered"] in [kinds for _, kinds in histories]
