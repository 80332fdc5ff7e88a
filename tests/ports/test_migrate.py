"""Migrations on a real database."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from gofleet.adapters.postgres.migrate import (
    Migration,
    MigrationError,
    apply_migrations,
    load_migrations,
    missing_migrations,
)
from gofleet.embedded import Postgres
from tests.databases import conninfo_of


@pytest.fixture
def empty_database(postgres_server: Postgres) -> Generator[str]:
    name = f"empty_{uuid4().hex[:12]}"
    with psycopg.connect(conninfo_of(postgres_server, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        yield conninfo_of(postgres_server, name)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def test_migrations_are_applied_once_and_in_order(empty_database: str) -> None:
    names = [migration.name for migration in load_migrations()]
    applied: list[str] = []
    assert missing_migrations(empty_database) == names

    assert apply_migrations(empty_database, done=applied.append) == len(names)

    assert applied == names
    assert missing_migrations(empty_database) == []
    assert apply_migrations(empty_database) == 0


def test_concurrent_runs_apply_each_migration_once(empty_database: str) -> None:
    with ThreadPoolExecutor(2) as both:
        counts = list(both.map(apply_migrations, [empty_database] * 2))

    assert sorted(counts) == [0, len(load_migrations())]


def test_a_failed_migration_is_rolled_back(empty_database: str) -> None:
    broken = Migration("0002_broken", "create table half (id int); select 1 / 0")

    with pytest.raises(MigrationError, match="0002_broken failed and was rolled back"):
        apply_migrations(empty_database, known=[Migration("0001_good", "create table good (id int)"), broken])

    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select to_regclass('good'), to_regclass('half')").fetchone() == ("good", None)
        assert connection.execute("select name from schema_migrations").fetchall() == [("0001_good",)]


def test_a_database_with_later_migrations_is_refused(empty_database: str) -> None:
    apply_migrations(empty_database, known=[*load_migrations(), Migration("9999_future", "select 1")])

    with pytest.raises(MigrationError, match="does not know: 9999_future"):
        apply_migrations(empty_database)
    with pytest.raises(MigrationError, match="this release does not know"):
        missing_migrations(empty_database)


def test_an_edited_migration_is_refused(empty_database: str) -> None:
    apply_migrations(empty_database, known=[Migration("0001_a", "select 1")])

    with pytest.raises(MigrationError, match="0001_a was edited"):
        apply_migrations(empty_database, known=[Migration("0001_a", "select 2")])


def test_files_are_numbered_without_gaps() -> None:
    numbers = [int(migration.name.split("_")[0]) for migration in load_migrations()]

    assert numbers == list(range(1, len(numbers) + 1))


def test_other_folders_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "0001_x.sql").write_text("select 1")

    assert load_migrations(tmp_path) == [Migration("0001_x", "select 1")]


def test_history_is_append_only(clean_database: str) -> None:
    with psycopg.connect(clean_database, autocommit=True) as connection:
        connection.execute("insert into orders (id, price, tax, final_price) values ('o', 1, 0, 1)")
        for statement in (b"update order_log set became = 'x'", b"delete from order_log"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                connection.execute(statement)


@pytest.mark.parametrize(
    "values",
    [
        "('o', 1, 0, 2, 'PENDING', null, null)",  # the sum
        "('o', 0, 0, 0, 'PENDING', null, null)",  # no price
        "('o', 1, 0, 1, 'LOST', null, null)",  # no such status
        "('o', 1, 0, 1, 'DISPATCHED', null, null)",  # without a driver
        "('o', 1, 0, 1, 'DELIVERED', null, null)",
        "('o', 1, 0, 1, 'PENDING', 'ana', null)",  # a driver of a waiting order
        "('o', 1, 0, 1, 'MANUAL_DISPATCH', null, null)",  # no reason
    ],
)
def test_the_database_refuses_what_the_domain_refuses(clean_database: str, values: str) -> None:
    with (
        psycopg.connect(clean_database, autocommit=True) as connection,
        pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation)),
    ):
        connection.execute(
            f"insert into orders (id, price, tax, final_price, status, driver_id, reason) values {values}".encode()
        )
