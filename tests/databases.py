"""A migrated database for each test that needs one: a copy of a template, which PostgreSQL makes in milliseconds."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed

    from gofleet.adapters.postgres.pool import Pool
    from gofleet.embedded import Postgres

# ruff: noqa: PLC0415  conftest.py imports this module, and tests without a database should start fast


def conninfo_of(server: Postgres, database: str) -> str:
    """A connection string with every bound that GoFleet itself sets."""
    from gofleet.adapters.postgres.pool import connection_string

    address = server.address
    return connection_string(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        database=database,
        sslmode="disable",
        connect_timeout_seconds=5,
        statement_timeout_ms=10_000,
        lock_timeout_ms=5_000,
    )


def login_of(role: str) -> str:
    """The login with the privileges of a process of that role, and no others."""
    return f"{role}_alone"


def make_logins(conninfo: str) -> None:
    """Create one for each role in the cluster, unless it exists, with the password of `conninfo`.

    A database of the cluster must have been migrated.
    """
    import psycopg
    from psycopg import sql

    from gofleet.adapters.postgres.diagnostics import group_of
    from gofleet.roles import ORDER

    with psycopg.connect(conninfo, autocommit=True) as connection:
        for role in ORDER:
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                create_login(connection, login_of(role))
            login, group = sql.Identifier(login_of(role)), sql.Identifier(group_of(role))
            connection.execute(sql.SQL("grant {} to {}").format(group, login))


def create_login(connection: Connection, name: str) -> None:
    """Create a role that may log in with the password of `connection`."""
    from psycopg import sql

    create = sql.SQL("create role {} login password {}")
    connection.execute(create.format(sql.Identifier(name), sql.Literal(connection.info.password)))


@pytest.fixture(scope="session")
def migrated_template(postgres_server: Postgres) -> str:
    """The name of an empty database with our schema."""
    from psycopg import sql

    from gofleet.adapters.postgres.migrate import apply_migrations

    name = "gofleet_template"
    _administer(postgres_server, sql.SQL("create database {}").format(sql.Identifier(name)))
    apply_migrations(conninfo_of(postgres_server, name))
    make_logins(conninfo_of(postgres_server, name))
    return name


@pytest.fixture
def clean_database(postgres_server: Postgres, migrated_template: str) -> Generator[str]:
    """A connection string to an empty, migrated database, dropped after the test."""
    with a_database(postgres_server, migrated_template) as conninfo:
        yield conninfo


@contextmanager
def a_database(postgres_server: Postgres, migrated_template: str) -> Generator[str]:
    """A copy of the template during the block."""
    from psycopg import sql

    name = f"test_{uuid4().hex[:12]}"
    copy = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(migrated_template))
    _administer(postgres_server, copy)
    yield conninfo_of(postgres_server, name)
    _administer(postgres_server, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


async def register(pool: Pool, *driver_ids: str) -> None:
    """Add the records of drivers, named by their ids."""
    insert = "insert into drivers (id, name) select id, id from unnest(%s::text[]) as id on conflict do nothing"
    async with pool.connection() as connection:
        await connection.execute(insert, [list(driver_ids)])


async def waits_for_a_lock(pool: Pool) -> bool:
    """Whether any session of this database waits for a lock of another one."""
    async with pool.connection() as connection:
        query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        row = await (await connection.execute(query)).fetchone()
    return row is not None and row[0] > 0


def _administer(server: Postgres, statement: Composed) -> None:
    import psycopg

    with psycopg.connect(conninfo_of(server, "postgres"), autocommit=True) as connection:
        connection.execute(statement)
