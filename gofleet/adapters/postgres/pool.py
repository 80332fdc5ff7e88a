"""The connection pool: session settings, which connections it drops, and the errors that mean an outage."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import monotonic, perf_counter
from typing import Any, LiteralString, Self, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import AdaptContext, Buffer, PQGen
from psycopg.adapt import Loader
from psycopg.conninfo import make_conninfo
from psycopg.errors import IdleInTransactionSessionTimeout, InsufficientPrivilege, ReadOnlySqlTransaction
from psycopg.rows import DictRow, TupleRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from gofleet.adapters.postgres.queries import TracingCursor
from gofleet.adapters.postgres.silence import UNANSWERED, Silence
from gofleet.domain.errors import Unavailable
from gofleet.telemetry.metrics import POOL_TIMEOUTS, POOL_WAIT_SECONDS

RV = TypeVar("RV")
CANCEL_SECONDS = 1.0
RECONNECT_SECONDS = 1.0
"""How long the pool retries a connection by itself, with pauses that double; after that the next `acquire` retries."""

RENEW_SECONDS = 0.5
"""How old a connection to a read-only server is at least before its address is connected to again."""
READ_ONLY = "the server is a standby, or read-only"
READ_ONLY_PARAMETERS = (b"in_hot_standby", b"default_transaction_read_only")
"""Settings that PostgreSQL reports to its clients at the start of a session and after each change."""
IS_READ_ONLY = "select pg_is_in_recovery() or current_setting('transaction_read_only')::bool"
PROBE = "select pg_logical_emit_message(true, 'gofleet', '')"
"""A write that leaves nothing in the database, but whose commit waits for disk and standby as every other."""

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
    silence: Silence | None = None
    opened_at: float = 0.0

    @classmethod
    async def connect(cls, conninfo: str = "", *, silence: Silence | None = None, **kwargs: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As psycopg's; a connection of a pool reports to its `silence`, and is not opened during it."""
        if silence is not None and not silence.is_over:
            raise psycopg.OperationalError(UNANSWERED)
        connection = await super().connect(conninfo, **kwargs)
        connection.silence, connection.opened_at = silence, monotonic()
        return connection

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

    @property
    def is_read_only(self) -> bool:
        """Whether the server is a standby or refuses writes, as far as it has reported; takes no round trip."""
        return b"on" in map(self.pgconn.parameter_status, READ_ONLY_PARAMETERS)

    def _shut_down(self) -> None:
        if self.silence is not None:
            self.silence.begin(self.opened_at)
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


class Pool(AsyncConnectionPool[Connection]):
    """A pool that lends no connection while its server is silent, and that can be renewed."""

    silence: Silence

    async def renew(self, connection: Connection) -> bool:
        """Replace all connections if this one, to a read-only server, is not new; whether they were replaced.

        After a failover the same address leads to another server, while connections to the demoted one may stay open.
        Until then each new connection would be a read-only one, too: they are not replaced at once again.
        """
        if monotonic() - connection.opened_at < RENEW_SECONDS:
            return False
        await self.drain()
        return True

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109  as psycopg's
        await self.silence.close()
        await super().close(timeout)


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

    A server that does not answer within `answer_seconds` is treated as lost: its connections are shut down, and others
    are opened only after it has answered a write. So it has at most `size` sessions of the pool without an answer.

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

    async def probe() -> None:
        connection = await Connection.connect(conninfo, autocommit=True)
        connection.answer_seconds = answer_seconds + CANCEL_SECONDS
        async with connection, asyncio.timeout(answer_seconds):  # psycopg then cancels the statement
            await connection.execute(PROBE)

    silence = Silence(probe, lambda: pool.drain())  # noqa: PLW0108  it is assigned below
    pool = Pool(
        conninfo,
        connection_class=Connection,
        configure=configure,
        min_size=min(2, size),
        max_size=size,
        timeout=wait_seconds,
        reconnect_timeout=RECONNECT_SECONDS,
        kwargs={"autocommit": True, "cursor_factory": TracingCursor, "silence": silence},
        open=False,
        name="gofleet",
    )
    pool.silence = silence
    return pool


@asynccontextmanager
async def acquire(pool: Pool) -> AsyncGenerator[Connection]:
    """A live connection to a writable server for the block; others of the pool are skipped and replaced. Errors that
    mean an outage become `Unavailable`: whether the last statement was committed is then unknown, so callers repeat
    only what is idempotent.
    """
    await pool.silence.until_ended(pool.timeout)
    try:
        for remaining in reversed(range(pool.max_size + 1)):
            requested_at = perf_counter()
            async with pool.connection() as connection:
                POOL_WAIT_SECONDS.observe(perf_counter() - requested_at)
                if remaining and await connection.is_dead():
                    await connection.close()  # the pool replaces it
                    continue
                # Reads too: on a standby an order of which the broker has told may not exist yet.
                if connection.is_read_only:
                    if remaining and await pool.renew(connection):
                        continue
                    raise Unavailable("PostgreSQL", READ_ONLY)
                try:
                    yield connection
                except ReadOnlySqlTransaction:
                    await pool.renew(connection)
                    raise
                return
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        POOL_TIMEOUTS.inc()
        raise Unavailable("PostgreSQL", f"no connection in time ({type(error).__name__})") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, *TRANSIENT_ERRORS) as error:
        raise Unavailable("PostgreSQL", type(error).__name__) from error


async def check_postgres_writes(pool: Pool) -> None:
    """`Unavailable` unless PostgreSQL answers and accepts writes."""
    pool.silence.check()
    async with acquire(pool) as connection:
        row = await (await connection.execute(IS_READ_ONLY)).fetchone()
        if row and row[0]:
            raise Unavailable("PostgreSQL", READ_ONLY)


async def fetch_rows(
    connection: Connection, query: LiteralString, values: Mapping[str, object], *, prepare: bool | None = None
) -> list[DictRow]:
    """All rows of a statement, each by the names of its columns."""
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(query, values, prepare=prepare)
    return await cursor.fetchall()
