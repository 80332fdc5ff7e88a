"""Conditions that a database must meet before GoFleet uses it: no transaction pooler, no foreign history."""

from __future__ import annotations

import asyncio

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import LoginRefused, Unavailable

PRECONDITIONS = Queries("preconditions")
UNSUPPORTED = "unsupported startup parameter"
"""What PgBouncer answers to our session settings, unless it is configured to ignore them."""
SETTING = "idle_in_transaction_session_timeout"
FOREIGN_HISTORY = (
    "order_log has transaction ids of another cluster, up to {}, and this one is at {}: event streams would hide new "
    "events and repeat old ones"
)
REBASE = (
    "as the owner of the schema, run: begin; alter table order_log disable trigger append_only; "
    "update order_log set txid = '3'; alter table order_log enable trigger append_only; commit"
)
LOGIN_REFUSED = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "pg_hba.conf",
    "is not permitted to log in",
    "permission denied for database",
    "server does not support SSL",
    "certificate verify failed",
)
"""Texts of PostgreSQL and libpq: psycopg gives no SQLSTATE for a connection that failed."""
ROUNDS = 5
SECONDS_MAX = 2.0


class UnusableDatabase(Exception):
    """A condition is not met: `why`, and how to `fix` it; `check` is a word for what was looked at."""

    what = "the database cannot be used"

    def __init__(self, check: str, why: str, fix: str) -> None:
        super().__init__(why)
        self.check = check
        self.why = why
        self.fix = fix


def connection_error(error: psycopg.OperationalError) -> Unavailable:
    """The error of a failed connection: `LoginRefused` if a retry would fail in the same way."""
    # The last line: one for each address of the host may precede it.
    reason = str(error).strip().splitlines()[-1].removeprefix("- ") if str(error) else type(error).__name__
    kind = LoginRefused if any(text in str(error) for text in LOGIN_REFUSED) else Unavailable
    return kind("PostgreSQL", reason)


async def refuse_pooler(conninfo: str) -> None:
    """`UnusableDatabase` if a pooler gives its clients no sessions of their own; psycopg's errors if there is no
    connection."""
    try:
        connection = await AsyncConnection.connect(conninfo, autocommit=True)
    except psycopg.OperationalError as error:
        if UNSUPPORTED in str(error):
            raise _pooler("it refuses the session settings with which GoFleet bounds its statements") from error
        raise
    async with connection:
        pid, source = await _session(connection)
        if SETTING in str(conninfo_to_dict(conninfo).get("options")) and source != "client":
            raise _pooler("it ignores the session settings with which GoFleet bounds its statements")
        if pid != connection.info.backend_pid and await _shares_sessions(connection, conninfo):
            raise _pooler("several clients share one session of the server")


async def refuse_foreign_history(conninfo: str) -> None:
    """`UnusableDatabase` if the history has transaction ids that this cluster has not given yet, as after a dump was
    restored into a younger one: see sql/migrations/0007_history.sql. For a login that may read the history."""
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        exists = await (await connection.execute(PRECONDITIONS.has_history)).fetchone()
        if not exists or not exists[0]:
            return  # it is not migrated yet
        row = await (await connection.execute(PRECONDITIONS.history)).fetchone()
    if row is not None:
        raise UnusableDatabase("history", FOREIGN_HISTORY.format(*row), REBASE)


async def _shares_sessions(first: AsyncConnection, conninfo: str) -> bool:
    """Whether a session of the server serves two of its clients in turn."""
    pid, _ = await _session(first)
    try:
        async with (
            asyncio.timeout(SECONDS_MAX),  # a pooler of whole sessions may have no second one
            await AsyncConnection.connect(conninfo, autocommit=True) as second,
        ):
            for _ in range(ROUNDS):  # other clients may take the session meanwhile
                other, _ = await _session(second)
                again, _ = await _session(first)
                if other == pid or again != pid:
                    return True
    except TimeoutError:
        pass
    return False


async def _session(connection: AsyncConnection) -> tuple[int, str]:
    """The server's process, and where one of its settings comes from."""
    row = await (await connection.execute(PRECONDITIONS.session, prepare=False)).fetchone()
    assert row is not None  # noqa: S101  the query always returns one
    return row


def _pooler(why: str) -> UnusableDatabase:
    return UnusableDatabase(
        "pooler",
        f"there is a connection pooler before PostgreSQL, such as PgBouncer in transaction mode: {why}",
        "set DB_HOST and DB_PORT to PostgreSQL itself: GoFleet pools its connections, DB_POOL_SIZE a process, and "
        "needs prepared statements, LISTEN and advisory locks of its own sessions",
    )
