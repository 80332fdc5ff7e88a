"""Connections: how the pool is set up, and what its failures mean to us."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from gofleet.domain.errors import Unavailable

Pool = AsyncConnectionPool[AsyncConnection]


def conninfo(
    *,
    host: str,
    port: int,
    user: str,
    password: str,
    database: str,
    sslmode: str,
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
        connect_timeout=connect_timeout_seconds,
        application_name="gofleet",
        client_encoding="UTF8",  # some servers were made with SQL_ASCII, and would answer with bytes
        options=" ".join(f"-c {name}={value}" for name, value in bounds.items()),
    )


def a_pool(conninfo: str, *, size: int, wait_seconds: float) -> Pool:
    """A closed pool of `size` autocommit connections; whoever waits longer than `wait_seconds` gets PoolTimeout.

    No `check=`: it would double the cost of each statement. A connection that died is met as an error, once.
    """
    return AsyncConnectionPool(
        conninfo,
        min_size=min(2, size),
        max_size=size,
        timeout=wait_seconds,
        reconnect_timeout=30,
        kwargs={"autocommit": True},
        open=False,
        name="gofleet",
    )


@asynccontextmanager
async def link_from(pool: Pool) -> AsyncGenerator[AsyncConnection]:
    """A connection for the block. Whatever means "not now" becomes `Unavailable`: nobody may know whether the last
    statement was committed, so callers repeat only what is safe to repeat."""
    try:
        async with pool.connection() as link:
            yield link
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise Unavailable("PostgreSQL", f"no connection in time ({type(error).__name__})") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable("PostgreSQL", type(error).__name__) from error
