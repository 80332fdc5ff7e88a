"""A migrated database for each test that asks: a copy of one template, which PostgreSQL makes in a moment."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from gofleet.adapters.postgres.migrate import migrate
from gofleet.adapters.postgres.pool import Pool, conninfo
from gofleet.adapters.postgres.privileges import group_of
from gofleet.embedded import Postgres
from gofleet.roles import ORDER


def conninfo_of(server: Postgres, database: str) -> str:
    """How GoFleet itself would connect, every bound included."""
    address = server.address
    return conninfo(
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
    """Who may do what a process of that role does, and nothing else."""
    return f"{role}_alone"


def make_logins(conninfo: str) -> None:
    """One for each role, in the whole cluster, unless they are there. Some database of it must have been migrated."""
    with psycopg.connect(conninfo, autocommit=True) as link:
        for role in ORDER:
            login, group = sql.Identifier(login_of(role)), sql.Identifier(group_of(role))
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                link.execute(sql.SQL("create role {} login in role {}").format(login, group))


@pytest.fixture(scope="session")
def migrated_template(postgres_server: Postgres) -> str:
    """The name of a database with our schema, empty."""
    name = "gofleet_template"
    _administer(postgres_server, sql.SQL("create database {}").format(sql.Identifier(name)))
    migrate(conninfo_of(postgres_server, name))
    make_logins(conninfo_of(postgres_server, name))
    return name


@pytest.fixture
def clean_database(postgres_server: Postgres, migrated_template: str) -> Generator[str]:
    """A connection string to an empty, migrated database that is gone after the test."""
    name = f"test_{uuid4().hex[:12]}"
    copy = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(migrated_template))
    _administer(postgres_server, copy)
    yield conninfo_of(postgres_server, name)
    _administer(postgres_server, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


async def waits_for_a_lock(pool: Pool) -> bool:
    """Whether any session of this database waits for another one."""
    async with pool.connection() as link:
        query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        row = await (await link.execute(query)).fetchone()
    return row is not None and row[0] > 0


def _administer(server: Postgres, statement: sql.Composed) -> None:
    with psycopg.connect(conninfo_of(server, "postgres"), autocommit=True) as link:
        link.execute(statement)
