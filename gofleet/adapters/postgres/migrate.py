"""Forward-only schema migrations: plain SQL files, one transaction each, one process at a time.

Numbered files are applied once, in order. After them come files without a number, again whenever their text has
changed. A file that begins with OUTSIDE is run statement by statement without a transaction, and must be repeatable; it
may build indexes while the table is written to.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

import psycopg
from psycopg import Connection
from psycopg.errors import Diagnostic

from gofleet.files import shipped

LOCK = 7_163_384_201  # an advisory lock key that no other program uses in this database
OUTSIDE = "-- outside a transaction\n"
LOCK_TIMEOUT_MS = 500
"""How long a migration waits for the lock of a table. While it waits, all statements on the table wait behind it, so it
gives up soon, lets them pass and tries again."""
LOCK_SECONDS = 300.0
"""How long it tries again: a transaction of another program may hold the lock for long."""
PAUSE_SECONDS = 0.2


class MigrationError(Exception):
    """The schema of the database is not one that this release can use or migrate."""


@dataclass(frozen=True)
class Migration:
    """`name` is the name of the file, such as `0001_orders`; `digest` is the SHA-256 of its text."""

    name: str
    sql: str

    @property
    def is_repeated(self) -> bool:
        """Whether it is applied again when its text has changed."""
        return not self.name[:1].isdigit()

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
    changed = [each for each in known if applied.get(each.name, each.digest) != each.digest]
    if edited := [each.name for each in changed if not each.is_repeated]:
        raise MigrationError(f"{', '.join(edited)} was edited after it had been applied; write a new migration instead")
    return [each for each in known if each.name not in applied or each in changed]


def apply_migrations(
    conninfo: str,
    *,
    known: list[Migration] | None = None,
    done: Callable[[str], None] = lambda _: None,
    warned: Callable[[str], None] = lambda _: None,
    lock_seconds: float = LOCK_SECONDS,
) -> int:
    """Apply the missing migrations, calling `done` with each name and `warned` with each warning of PostgreSQL; returns
    their number. Safe to run twice, also concurrently. `MigrationError` for one that fails, and for one that gets no
    lock of a table within `lock_seconds`."""

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
        # Polled: a statement that waited for the lock would be a running transaction, and an index that is built
        # concurrently waits for those.
        while connection.execute("select pg_try_advisory_lock(%s)", (LOCK,)).fetchone() != (True,):
            time.sleep(PAUSE_SECONDS)
        missing = pending(connection, load_migrations() if known is None else known)
        connection.execute(
            "create table if not exists schema_migrations"
            " (name text primary key, digest text not null, applied_at timestamptz not null default now())"
        )
        for migration in missing:
            _apply(connection, migration, lock_seconds, warned)
            done(migration.name)
        return len(missing)


def missing_migrations(conninfo: str) -> list[str]:
    """The names of the migrations that the database lacks."""
    with Connection.connect(conninfo, autocommit=True) as connection:
        return [migration.name for migration in pending(connection, load_migrations())]


def _apply(connection: Connection, migration: Migration, lock_seconds: float, warned: Callable[[str], None]) -> None:
    until, waits = time.monotonic() + lock_seconds, False
    outcome = "stopped, and can be repeated" if migration.sql.startswith(OUTSIDE) else "was rolled back"
    while True:
        try:
            return _attempt(connection, migration, lock_seconds)
        except psycopg.errors.LockNotAvailable as error:
            if time.monotonic() >= until:
                why = f"a table was locked by other transactions for {lock_seconds:g} s"
                raise MigrationError(f"{migration.name} {outcome}: {why}; end them and repeat it") from error
            if not waits:
                warned(f"{migration.name} waits for transactions that lock its tables, for up to {lock_seconds:g} s")
            waits = True
            time.sleep(PAUSE_SECONDS)
        except psycopg.Error as error:
            raise MigrationError(f"{migration.name} failed and {outcome}: {error}") from error


def _attempt(connection: Connection, migration: Migration, lock_seconds: float) -> None:
    sql = cast("LiteralString", migration.sql)  # GoFleet's own file, never a caller's text
    if sql.startswith(OUTSIDE):
        # An index that is built concurrently waits for transactions too, but nothing waits behind it. 0 is no timeout.
        connection.execute("select set_config('lock_timeout', %s, false)", (f"{max(1, round(lock_seconds * 1000))}ms",))
        for statement in filter(str.strip, sql.split(";\n")):
            connection.execute(statement)
        sql = ""
    with connection.transaction():
        connection.execute("select set_config('lock_timeout', %s, true)", (f"{LOCK_TIMEOUT_MS}ms",))
        connection.execute(sql)
        connection.execute(
            "insert into schema_migrations (name, digest) values (%s, %s)"
            " on conflict (name) do update set digest = excluded.digest, applied_at = now()",
            (migration.name, migration.digest),
        )
