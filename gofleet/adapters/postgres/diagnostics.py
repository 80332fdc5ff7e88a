"""Read-only checks of a PostgreSQL server: its state for `gofleet doctor`, and the privileges of a login."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.rows import DictRow, dict_row

from gofleet.adapters.postgres.drivers import DRIVERS
from gofleet.adapters.postgres.migrate import load_migrations, unapplied
from gofleet.adapters.postgres.preconditions import connection_error, refuse_foreign_history, refuse_pooler
from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.errors import LoginRefused, Unavailable

DOCTOR, PRIVILEGES = Queries("doctor"), Queries("privileges")


class NotGranted(Exception):
    """The login lacks privileges; `fix` is the statement for an administrator to run."""

    def __init__(self, login: str, lacking: str, groups: Sequence[str]) -> None:
        super().__init__(f"{login} may not {lacking}")
        self.fix = f'grant {", ".join(groups)} to "{login}"'


def group_of(role: str) -> str:
    """The PostgreSQL role that holds the privileges of a GoFleet role; see sql/migrations/0012_privileges.sql."""
    return f"gofleet_{role}"


def check_privileges(conninfo: str, roles: Iterable[str]) -> None:
    """`NotGranted` if the login lacks a privilege of `roles`. Checked at the start: a statement refused later would
    park messages that are in order."""
    with Connection[DictRow].connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
        _raise_if_lacking(connection.execute(PRIVILEGES.lacking, _groups_of(roles)).fetchall())


@dataclass(frozen=True)
class PostgresState:
    """The server as GoFleet's sessions find it. `version_number` is a number like 180001; `now` is its clock; timeouts
    are in milliseconds, 0 = none; `may_create_temporary`: the login may create temporary tables without owning the
    database; `missing` are the names of the migrations that the database lacks."""

    version_number: int
    version: str
    now: datetime
    read_only: bool
    statement_timeout_ms: int
    lock_timeout_ms: int
    connections_max: int
    connections: int
    may_create_temporary: bool
    missing: list[str]


async def postgres_state(conninfo: str, roles: Iterable[str]) -> PostgresState:
    """`UnusableDatabase` behind a pooler or with a foreign history, `LoginRefused` if the server refuses the login,
    `NotGranted` if the login lacks a privilege of `roles`, `Unavailable` without an answer, `MigrationError` if the
    schema is not one of this release."""
    try:
        await refuse_pooler(conninfo)
        connection = await AsyncConnection[DictRow].connect(conninfo, autocommit=True, row_factory=dict_row)
    except psycopg.OperationalError as error:
        raise connection_error(error) from error
    async with connection:
        try:
            lacking = await connection.execute(PRIVILEGES.lacking, _groups_of(roles))
            _raise_if_lacking(await lacking.fetchall())
            if "api" in roles:
                await refuse_foreign_history(conninfo)
            return await _state(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            raise LoginRefused("PostgreSQL", first_line(error)) from error
        except psycopg.Error as error:
            raise Unavailable("PostgreSQL", first_line(error)) from error


def first_line(error: psycopg.Error) -> str:
    """The first line of PostgreSQL's message, or the kind of error where it has none."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


async def _state(connection: AsyncConnection[DictRow]) -> PostgresState:
    (row,) = await (await connection.execute(DOCTOR.server)).fetchall()
    applied = await (await connection.execute(DOCTOR.applied)).fetchall() if row.pop("migrated") else []
    digests = {migration["name"]: migration["digest"] for migration in applied}
    return PostgresState(**row, missing=[migration.name for migration in unapplied(digests, load_migrations())])


def _groups_of(roles: Iterable[str]) -> dict[str, object]:
    return {"roles": [group_of(role) for role in roles]}


def _raise_if_lacking(rows: Sequence[DictRow]) -> None:
    """`NotGranted` unless `privileges.lacking` returned nothing."""
    if rows:
        lacking = "; ".join(row["privileges"] for row in rows)
        raise NotGranted(rows[0]["login"], lacking, [row["name"] for row in rows])


async def without_record(conninfo: str, driver_ids: Sequence[str]) -> list[str]:
    """Those of the drivers that are not registered. `Unavailable` if PostgreSQL does not tell."""
    if not driver_ids:
        return []
    try:
        async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
            rows = await (await connection.execute(DRIVERS.registered, {"ids": list(driver_ids)})).fetchall()
    except psycopg.Error as error:
        raise Unavailable("PostgreSQL", str(error)) from error
    registered = {str(row[0]) for row in rows}
    return [driver_id for driver_id in driver_ids if driver_id not in registered]
