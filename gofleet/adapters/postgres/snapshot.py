"""One moment of the database, for checks that compare much of it with itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, IsolationLevel
from psycopg.rows import TupleRow

from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import Unavailable

VERIFY = Queries("verify")
PAGE = 1000


class Snapshot:
    """All statements see the same moment and can change nothing; rows come in pages, however many there are."""

    def __init__(self, link: AsyncConnection[TupleRow]) -> None:
        self._link = link

    async def rows(self, query: LiteralString, values: Mapping[str, object]) -> AsyncGenerator[tuple[Any, ...]]:
        """The rows of a statement with %()s parameters; a failed one does not spoil the next. `Unavailable`."""
        try:
            # A transaction inside ours, so that a failure ends only this one.
            async with self._link.transaction(), self._link.cursor(name="page") as cursor:
                cursor.itersize = PAGE
                await cursor.execute(query, values)
                async for row in cursor:
                    yield row
        except psycopg.Error as error:
            raise _unavailable(error) from error


@asynccontextmanager
async def snapshot(conninfo: str) -> AsyncGenerator[Snapshot]:
    """A connection of its own for the block; `Unavailable` without one."""
    try:
        link = await AsyncConnection[TupleRow].connect(conninfo)
    except psycopg.Error as error:
        raise _unavailable(error) from error
    async with link:
        await link.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await link.set_read_only(True)
        # A check of everything may take its time, and the connection is idle while other sources are read.
        await link.execute("set statement_timeout = '600s'")
        await link.execute("set idle_in_transaction_session_timeout = 0")
        await link.commit()
        async with link.transaction():
            yield Snapshot(link)


def _unavailable(error: psycopg.Error) -> Unavailable:
    return Unavailable("PostgreSQL", str(error).splitlines()[0] if str(error) else type(error).__name__)
