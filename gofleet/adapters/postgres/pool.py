"""The connection pool: session settings, detection of dead connections, and the errors that mean an outage."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import perf_counter
from typing import LiteralString, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import AdaptContext, Buffer, PQGen
from psycopg.adapt import Loader
from psycopg.conninfo import make_conninfo
from psycopg.errors import IdleInTransactionSessionTimeout, InsufficientPrivilege, ReadOnlySqlTransaction
from psycopg.rows import DictRow, TupleRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from gofleet.adapters.postgres.queries import TracingCursor
from gofleet.domain.errors import Unavailable
from gofleet.telemetry.metrics import POOL_TIMEOUTS, POOL_WAIT_SECONDS

RV = TypeVar("RV")
RECONNECT_SECONDS = 1.0
"""How long the pool retries a connection by itself, with pauses that double; after that the next `acquire` retries."""

TRANSIENT_ERRORS = (ReadOnlySqlTransaction, IdleInTransactionSessionTimeout, InsufficientPrivilege)
"""Not OperationalErrors for psycopg, but outages by their nature: the server has become a standby, or this process was
frozen for so long that the server ended its transaction, or a privilege that the login had at the start was revoked.
Nothing is wrong with the message that is being handled, so it is retried and not parked."""


class Connection(AsyncConnection[TupleRow]):
    """A connection that is shut down when the server does not answer within `answer_seconds`.

    PostgreSQL ends long statements by itself, but on a server that is frozen, or cut off without a TCP reset, a client
    would wait for as long as TCP retransmits. A cancel request would only be another call without an answer.
    """

    answer_seconds: float = 10.0

    # `wait` is public but undocumented psycopg API: every round trip of a connection runs through it.
    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109  psycopg's signature
        watchdog = asyncio.get_running_loop().call_later(self.answer_seconds, self._shut_down)
        try:
            return await super().wait(gen, interval, timeout)
        finally:
            watchdog.cancel()

    async def is_dead(self) -> bool:
        """Whether the server closed the connection while it was idle. Without unread bytes it takes no round trip."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        if not poll.poll(0):
            return False
        try:
            await self.execute("")  # the bytes may be a notice only
        except psycopg.Error:
            return True
        return False

    def _shut_down(self) -> None:
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)  # the pending `wait` then fails as on a lost connection


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
    """A libpq connection string whose sessions never wait without a bound."""
    timeouts = {
        "statement_timeout": statement_timeout_ms,
        "lock_timeout": lock_timeout_ms,
        # A claim may wait for the broker's confirmations, but an abandoned transaction must not keep its row locks.
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
        # A cut cable sends no TCP reset: with these the kernel notices within about 25 s.
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
        client_encoding="UTF8",  # a database created with SQL_ASCII would answer in bytes
        options=" ".join(f"-c {name}={value}" for name, value in timeouts.items()),
    )


def create_pool(conninfo: str, *, size: int, wait_seconds: float, answer_seconds: float = 10.0) -> Pool:
    """A closed pool of `size` autocommit connections; waiting longer than `wait_seconds` for one is a PoolTimeout.

    A server that does not answer within `answer_seconds` is treated as lost.

    The pool has no `check=`: after a failed check it pauses for a second; `acquire` checks instead. While the server is
    unavailable the pool does not wait for its return: the next caller reconnects, as soon as the server is back.
    """

    async def configure(connection: Connection) -> None:
        connection.answer_seconds = answer_seconds
        connection.adapters.register_loader("timestamptz", UtcLoader)
        # A plan made while a table was small is kept until the table is analysed, a minute or more later: until then
        # each order would be found by a sequential scan. Every statement of the roles has an index that serves it;
        # readers of whole tables, such as `gofleet verify`, have a connection of their own.
        await connection.execute("set enable_seqscan = off")

    return AsyncConnectionPool(
        conninfo,
        connection_class=Connection,
        configure=configure,
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
    """A live connection for the block; dead ones of the pool are skipped. Errors that mean an outage become
    `Unavailable`: whether the last statement was committed is then unknown, so callers repeat only what is idempotent.
    """
    try:
        for remaining in reversed(range(pool.max_size + 1)):
            requested_at = perf_counter()
            async with pool.connection() as connection:
                POOL_WAIT_SECONDS.observe(perf_counter() - requested_at)
                if remaining and await connection.is_dead():
                    await connection.close()  # the pool replaces it
                    continue
                yield connection
                return
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        POOL_TIMEOUTS.inc()
        raise Unavailable("PostgreSQL", f"no connection in time ({type(error).__name__})") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, *TRANSIENT_ERRORS) as error:
        raise Unavailable("PostgreSQL", type(error).__name__) from error


async def fetch_rows(
    connection: Connection, query: LiteralString, values: Mapping[str, object], *, prepare: bool | None = None
) -> list[DictRow]:
    """All rows of a statement, each by the names of its columns."""
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(query, values, prepare=prepare)
    return await cursor.fetchall()
