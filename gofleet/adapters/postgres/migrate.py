"""Forward-only schema migrations: plain SQL files, one transaction each, one process at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

import psycopg
from psycopg import Connection
from psycopg.errors import Diagnostic

from gofleet.files import shipped

LOCK = 7_163_384_201  # an advisory lock key that no other program uses in this database


class MigrationError(Exception):
    """The schema of the database is not one that this release can use or migrate."""


@dataclass(frozen=True)
class Migration:
    """`name` is the name of the file, such as `0001_orders`; `digest` the SHA-256 of its text."""

    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(folder: Path | None = None) -> list[Migration]:
    """The migrations of this release, in order."""
    files = sorted((folder or shipped("sql") / "migrations").glob("*.sql"))
    return [Migration(file.stem, file.read_text(encoding="utf-8")) for file in files]


def pending(connection: Connection, known: list[Migration]) -> list[Migration]:
    """The migrations that the database lacks; `MigrationError` if it has unknown or edited ones."""
    exists = connection.execute("select to_regclass('schema_migrations') is not null").fetchone()
    if not exists or not exists[0]:
        return known
    rows = connection.execute("select name, digest from schema_migrations order by name").fetchall()
    return unapplied({str(name): str(digest) for name, digest in rows}, known)


def unapplied(applied: Mapping[str, str], known: list[Migration]) -> list[Migration]:
    """Those of `known` that are not `applied` (name -> digest); `MigrationError` for unknown or edited ones."""
    by_name = {migration.name: migration for migration in known}
    if unknown := sorted(applied.keys() - by_name.keys()):
        raise MigrationError(f"the database has migrations that this release does not know: {', '.join(unknown)}")
    if edited := sorted(name for name, digest in applied.items() if by_name[name].digest != digest):
        raise MigrationError(f"{', '.join(edited)} was edited after it had been applied; write a new migration instead")
    return [migration for migration in known if migration.name not in applied]


def apply_migrations(
    conninfo: str,
    *,
    known: list[Migration] | None = None,
    done: Callable[[str], None] = lambda _: None,
    warned: Callable[[str], None] = lambda _: None,
) -> int:
    """Apply the missing migrations, calling `done` with each name and `warned` with each warning of PostgreSQL; returns
    their number. Safe to run twice, also concurrently."""

    warnings = set[str]()

    def on_notice(notice: Diagnostic) -> None:
        text = notice.message_primary or ""
        if notice.severity_nonlocalized == "WARNING" and text not in warnings:  # several grant the same privileges
            warnings.add(text)
            warned(text)

    with Connection.connect(conninfo, autocommit=True) as connection:
        connection.add_notice_handler(on_notice)
        # DDL may take longer than the timeouts of statements about orders.
        connection.execute("set statement_timeout = 0")
        connection.execute("set lock_timeout = 0")
        connection.execute("select pg_advisory_lock(%s)", (LOCK,))
        missing = pending(connection, load_migrations() if known is None else known)
        connection.execute(
            "create table if not exists schema_migrations"
            " (name text primary key, digest text not null, applied_at timestamptz not null default now())"
        )
        for migration in missing:
            _apply(connection, migration)
            done(migration.name)
        return len(missing)


def missing_migrations(conninfo: str) -> list[str]:
    """The names of the migrations that the database lacks."""
    with Connection.connect(conninfo, autocommit=True) as connection:
        return [migration.name for migration in pending(connection, load_migrations())]


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(cast("LiteralString", migration.sql))  # GoFleet's own file, never a caller's text
            connection.execute(
                "insert into schema_migrations (name, digest) values (%s, %s)", (migration.name, migration.digest)
            )
    except psycopg.Error as error:
        raise MigrationError(f"{migration.name} failed and was rolled back: {error}") from error
