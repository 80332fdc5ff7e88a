"""A read-only snapshot of the database, for checks that compare its tables with each other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, IsolationLevel
from psycopg.rows import TupleRow

from gofleet.adapters.postgres.diagnostics import first_line
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import Unavailable

VERIFY = Queries("verify")
PAGE_ROWS = 1000


class Snapshot:
    """All statements see the same snapshot and can change nothing; rows are fetched in pages of `PAGE_ROWS`."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    async def rows(self, query: LiteralString, values: Mapping[str, object]) -> AsyncGenerator[tuple[Any, ...]]:
        """The rows of a statement with %()s parameters; `Unavailable` if it fails, and later statements still run."""
        try:
            # A savepoint: a failure ends only this statement.
            async with self._connection.transaction(), self._connection.cursor(name="page") as cursor:
                cursor.itersize = PAGE_ROWS
                await cursor.execute(query, values)
                async for row in cursor:
                    yield row
        except psycopg.Error as error:
            raise _unavailable(error) from error


@asynccontextmanager
async def snapshot(conninfo: str) -> AsyncGenerator[Snapshot]:
    """A snapshot over a connection of its own; `Unavailable` without one."""
    try:
        connection = await AsyncConnection[TupleRow].connect(conninfo)
    except psycopg.Error as error:
        raise _unavailable(error) from error
    async with connection:
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        # A check of all orders may take minutes, and the connection is idle while other sources are read.
        await connection.execute("set statement_timeout = '600s'")
        await connection.execute("set idle_in_transaction_session_timeout = 0")
        await connection.commit()
        async with connection.transaction():
            yield Snapshot(connection)


def _unavailable(error: psycopg.Error) -> Unavailable:
    return Unavailable("PostgreSQL", first_line(error))
