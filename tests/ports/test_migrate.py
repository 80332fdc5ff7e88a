"""Migrations on a real database."""

from __future__ import annotations

import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from gofleet.adapters.postgres.migrate import (
    OUTSIDE,
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


def test_a_file_without_a_number_is_applied_again_when_it_has_changed(empty_database: str) -> None:
    def run(text: str) -> int:
        return apply_migrations(
            empty_database,
            known=[
                Migration("0001_a", "create table seen (what text)"),
                Migration("rights", f"insert into seen {text}"),
            ],
        )

    assert [run("values (1)"), run("values (1)"), run("values (2)"), run("values (2)")] == [2, 0, 1, 0]

    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select what from seen").fetchall() == [("1",), ("2",)]


def test_a_file_outside_a_transaction_is_repeated_from_its_beginning(empty_database: str) -> None:
    table = Migration("0001_a", "create table a (n int); insert into a values (1), (1)")
    index = f"{OUTSIDE}drop index concurrently if exists i;\ncreate unique index concurrently i on a (n);\n"
    known = [table, Migration("0002_i", index)]
    with pytest.raises(MigrationError, match="0002_i failed and stopped, and can be repeated"):
        apply_migrations(empty_database, known=known)

    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("truncate a")
        assert apply_migrations(empty_database, known=known) == 1
        valid = connection.execute("select indisvalid from pg_index where indexrelid = 'i'::regclass").fetchall()
    assert valid == [(True,)]


def test_a_table_that_is_in_use_is_waited_for_while_others_use_it(empty_database: str) -> None:
    """A migration that waits for a lock holds up all statements behind it: it must let them pass."""
    known = [Migration("0001_a", "create table a (n int)")]
    apply_migrations(empty_database, known=known)
    known.append(Migration("0002_b", "alter table a add column m int"))
    with (
        psycopg.connect(empty_database) as holder,
        psycopg.connect(empty_database, autocommit=True) as user,
        ThreadPoolExecutor(1) as beside,
    ):
        holder.execute("select from a")
        warnings = list[str]()
        migrating = beside.submit(apply_migrations, empty_database, known=known, warned=warnings.append)
        until, took = time.monotonic() + 3, list[float]()
        while time.monotonic() < until:
            began = time.monotonic()
            user.execute("insert into a (n) values (1)")
            took.append(time.monotonic() - began)
        assert not migrating.done()
        holder.rollback()

        assert migrating.result(10) == 1
    assert 0.1 < max(took) < 1
    assert warnings == ["0002_b waits for transactions that lock its tables, for up to 300 s"]


def test_a_table_that_stays_in_use_is_an_error(empty_database: str) -> None:
    known = [Migration("0001_a", "create table a (n int)")]
    apply_migrations(empty_database, known=known)
    known.append(Migration("0002_b", "alter table a add column m int"))
    with psycopg.connect(empty_database) as holder:
        holder.execute("select from a")

        with pytest.raises(
            MigrationError, match="0002_b was rolled back: a table was locked by other transactions for 0 s"
        ):
            apply_migrations(empty_database, known=known, lock_seconds=0)


def test_an_index_waits_for_other_transactions_for_a_while(empty_database: str) -> None:
    index = f"{OUTSIDE}drop index concurrently if exists i;\ncreate index concurrently i on a (n);\n"
    known = [Migration("0001_a", "create table a (n int)"), Migration("0002_i", index)]
    apply_migrations(empty_database, known=known[:1])
    with psycopg.connect(empty_database) as holder:
        holder.execute("insert into a values (1)")

        with pytest.raises(MigrationError, match="0002_i stopped, and can be repeated: a table was locked"):
            apply_migrations(empty_database, known=known, lock_seconds=0.3)

    assert apply_migrations(empty_database, known=known) == 1


def test_files_are_numbered_without_gaps_and_the_others_come_last() -> None:
    migrations = load_migrations()
    numbers = [int(migration.name.split("_")[0]) for migration in migrations if not migration.is_repeated]

    assert numbers == list(range(1, len(numbers) + 1))
    assert [migration.name for migration in migrations[len(numbers) :]] == ["privileges"]


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
