"""Connections: how the pool is set up, and what its failures mean to us."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import perf_counter
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import AdaptContext, Buffer, PQGen
from psycopg.adapt import Loader
from psycopg.conninfo import make_conninfo
from psycopg.errors import IdleInTransactionSessionTimeout, InsufficientPrivilege, ReadOnlySqlTransaction
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from gofleet.adapters.postgres.tracing import TracingCursor
from gofleet.domain.errors import Unavailable
from gofleet.telemetry.metrics import POOL_TIMEOUTS, POOL_WAIT_SECONDS

RV = TypeVar("RV")
RECONNECT_SECONDS = 1.0
"""For so long the pool tries by itself, with pauses that double; then it leaves it to the next who asks."""

TRANSIENT_ERRORS = (ReadOnlySqlTransaction, IdleInTransactionSessionTimeout, InsufficientPrivilege)
"""Internal errors by PostgreSQL's classes, outages by their nature: we are connected to what is a standby by now, or
this process was frozen for so long that the server gave its transaction up, or somebody has taken a grant from our
login, which had them all when we started: nothing is wrong with the message, so it waits instead of being parked."""


class Connection(AsyncConnection[TupleRow]):
    """A connection that is hung up when the server falls silent.

    PostgreSQL ends long statements by itself, but a server that is frozen or cut off without a goodbye would be waited
    for as long as TCP believes in it. Asking it to cancel would only be another call without an answer.
    """

    answer_seconds: float = 10.0

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109  theirs
        """Every round trip comes through here."""
        silence = asyncio.get_running_loop().call_later(self.answer_seconds, self._hang_up)
        try:
            return await super().wait(gen, interval, timeout)
        finally:
            silence.cancel()

    async def is_dead(self) -> bool:
        """Whether the server hung up while nobody looked: no round trip, unless there is something to hear."""
        wire = select.poll()
        wire.register(self.fileno(), select.POLLIN)
        if not wire.poll(0):
            return False
        try:
            await self.execute("")  # it may have been but a notice
        except psycopg.Error:
            return True
        return False

    def _hang_up(self) -> None:
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)  # who waits on it hears of a lost connection, which is what it is


class UtcLoader(Loader):
    """Reads `timestamptz` as UTC, whatever `TimeZone` the server has: views and cursors then need no conversion.

    Setting the session's `TimeZone` instead would change the text of the times in event payloads.
    """

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        timestamptz = psycopg.adapters.get_loader(oid, self.format)  # in C where psycopg has it
        assert timestamptz is not None  # noqa: S101  psycopg registers one
        self._loader = timestamptz(oid, context)

    def load(self, data: Buffer) -> datetime:
        return self._loader.load(data).astimezone(UTC)


Pool = AsyncConnectionPool[Connection]


def connection_string(
    *,
    host: str,
    port: int,
    user: str,
    password: str,
    database: str,
    sslmode: str,
    sslrootcert: str = "",
    connect_timeout_seconds: int,
    statement_timeout_ms: int,
    lock_timeout_ms: int,
) -> str:
    """A libpq connection string whose sessions never wait for ever."""
    bounds = {
        "statement_timeout": statement_timeout_ms,
        "lock_timeout": lock_timeout_ms,
        # A claim may wait for a broker's confirmations, but a transaction that somebody forgot must not hold rows.
        "idle_in_transaction_session_timeout": 30_000,
    }
    return make_conninfo(
        host=host,
        port=port,
        user=user,
        password=password or None,
        dbname=database,
        sslmode=sslmode,
        sslrootcert=sslrootcert or None,
        connect_timeout=connect_timeout_seconds,
        application_name="gofleet",
        # Nobody says goodbye when a cable is cut: within about 25 s the kernel notices.
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
        client_encoding="UTF8",  # some servers were made with SQL_ASCII, and would answer with bytes
        options=" ".join(f"-c {name}={value}" for name, value in bounds.items()),
    )


def create_pool(conninfo: str, *, size: int, wait_seconds: float, answer_seconds: float = 10.0) -> Pool:
    """A closed pool of `size` autocommit connections; whoever waits longer than `wait_seconds` gets PoolTimeout.

    A server that does not answer within `answer_seconds` is taken for lost.

    No `check=`: after a failed one the pool pauses for a second; `link_from` looks for itself. While the server is away
    the pool does not wait for its return: the next caller tries, so that it is found as soon as it is back.
    """

    async def prepared(link: Connection) -> None:
        link.answer_seconds = answer_seconds
        link.adapters.register_loader("timestamptz", UtcLoader)
        # A plan made while a table was small is kept until the table is analysed, a minute or more later: by then each
        # order would be looked for among all. Whatever the roles ask has an index that serves it; who reads all of a
        # table, such as `gofleet verify`, has a connection of its own.
        await link.execute("set enable_seqscan = off")

    return AsyncConnectionPool(
        conninfo,
        connection_class=Connection,
        configure=prepared,
        min_size=min(2, size),
        max_size=size,
        timeout=wait_seconds,
        reconnect_timeout=RECONNECT_SECONDS,
        kwargs={"autocommit": True, "cursor_factory": TracingCursor},
        open=False,
        name="gofleet",
    )


@asynccontextmanager
async def acquire(pool: Pool) -> AsyncGenerator[Connection]:
    """A connection for the block; those that died in the pool are passed over. Whatever means "not now" becomes
    `Unavailable`: nobody may know whether the last statement was committed, so callers repeat only what is safe to
    repeat."""
    try:
        for others in reversed(range(pool.max_size + 1)):
            asked = perf_counter()
            async with pool.connection() as link:
                POOL_WAIT_SECONDS.observe(perf_counter() - asked)
                if others and await link.is_dead():
                    await link.close()  # the pool replaces it
                    continue
                yield link
                return
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        POOL_TIMEOUTS.inc()
        raise Unavailable("PostgreSQL", f"no connection in time ({type(error).__name__})") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, *TRANSIENT_ERRORS) as error:
        raise Unavailable("PostgreSQL", type(error).__name__) from error
