"""What a PostgreSQL server is like: read in one go, changing nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from gofleet.adapters.postgres.migrate import load_migrations, unapplied
from gofleet.adapters.postgres.privileges import PRIVILEGES, privilege_query_values, raise_if_lacking
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import LoginRefused, Unavailable

DOCTOR = Queries("doctor")


@dataclass(frozen=True)
class PostgresState:
    """As our own sessions find it. `version_number` is such as 180001; `now` is its clock; timeouts are in
    milliseconds, 0 = none; `missing` are the names of the migrations that the database lacks."""

    version_number: int
    version: str
    now: datetime
    read_only: bool
    statement_timeout_ms: int
    lock_timeout_ms: int
    most_connections: int
    connections: int
    missing: list[str]


async def postgres_state(conninfo: str, roles: Iterable[str]) -> PostgresState:
    """`LoginRefused` if it does not let us in, `NotGranted` if not to do what `roles` do, `Unavailable` without an
    answer, `MigrationError` if the database and this program do not fit."""
    try:
        link = await AsyncConnection[TupleRow].connect(conninfo, autocommit=True)
    except psycopg.errors.ConnectionTimeout as error:
        raise Unavailable("PostgreSQL", "no answer in time") from error
    except psycopg.Error as error:
        raise LoginRefused("PostgreSQL", _first_line(error)) from error
    async with link:
        try:
            raise_if_lacking(await (await link.execute(PRIVILEGES.lacking, privilege_query_values(roles))).fetchall())
            return await _state(link)
        except psycopg.errors.InsufficientPrivilege as error:
            raise LoginRefused("PostgreSQL", _first_line(error)) from error
        except psycopg.Error as error:
            raise Unavailable("PostgreSQL", _first_line(error)) from error


async def _state(link: AsyncConnection[TupleRow]) -> PostgresState:
    row = await (await link.execute(DOCTOR.server)).fetchone()
    assert row is not None  # noqa: S101  a select without a table always has one row
    *facts, migrated = row
    applied = await (await link.execute(DOCTOR.applied)).fetchall() if migrated else []
    names = [migration.name for migration in unapplied(dict(applied), load_migrations())]
    return PostgresState(*facts, missing=names)


def _first_line(error: psycopg.Error) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
