"""Forward-only migrations: plain files, one transaction each, one migrator at a time."""

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

# Any number that no other program uses as its advisory lock in this database.
LOCK = 7_163_384_201


class MigrationError(Exception):
    """The database and these files do not fit together."""


@dataclass(frozen=True)
class Migration:
    """`name` is the file's, such as `0001_orders`; `digest` the SHA-256 of its text."""

    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(folder: Path | None = None) -> list[Migration]:
    """All we have, in order."""
    files = sorted((folder or shipped("sql") / "migrations").glob("*.sql"))
    return [Migration(file.stem, file.read_text(encoding="utf-8")) for file in files]


def pending(link: Connection, known: list[Migration]) -> list[Migration]:
    """What the database still lacks; `MigrationError` if it is from the future or its past was edited."""
    exists = link.execute("select to_regclass('schema_migrations') is not null").fetchone()
    if not exists or not exists[0]:
        return known
    rows = link.execute("select name, digest from schema_migrations order by name").fetchall()
    return unapplied({str(name): str(digest) for name, digest in rows}, known)


def unapplied(applied: Mapping[str, str], known: list[Migration]) -> list[Migration]:
    """Those of `known` that are not `applied` (name -> digest); `MigrationError` as above."""
    ours = {migration.name: migration for migration in known}
    if unknown := sorted(applied.keys() - ours.keys()):
        raise MigrationError(f"the database is from the future: it has {', '.join(unknown)}, this program has not")
    if edited := sorted(name for name, digest in applied.items() if ours[name].digest != digest):
        raise MigrationError(f"{', '.join(edited)} was edited after it had been applied; write a new migration instead")
    return [migration for migration in known if migration.name not in applied]


def apply_migrations(
    conninfo: str,
    *,
    known: list[Migration] | None = None,
    done: Callable[[str], None] = lambda _: None,
    warned: Callable[[str], None] = lambda _: None,
) -> int:
    """Apply what is missing, calling `done` with each name and `warned` with what PostgreSQL warns of; returns how many
    there were. Safe to run at once twice."""

    def heard(notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warned(notice.message_primary or "")

    with Connection.connect(conninfo, autocommit=True) as link:
        link.add_notice_handler(heard)
        # DDL may take longer than an order's statement may.
        link.execute("set statement_timeout = 0")
        link.execute("set lock_timeout = 0")
        link.execute("select pg_advisory_lock(%s)", (LOCK,))
        missing_ones = pending(link, load_migrations() if known is None else known)
        link.execute(
            "create table if not exists schema_migrations"
            " (name text primary key, digest text not null, applied_at timestamptz not null default now())"
        )
        for migration in missing_ones:
            _apply(link, migration)
            done(migration.name)
        return len(missing_ones)


def _apply(link: Connection, migration: Migration) -> None:
    try:
        with link.transaction():
            link.execute(cast("LiteralString", migration.sql))  # our own file, never a caller's text
            link.execute(
                "insert into schema_migrations (name, digest) values (%s, %s)", (migration.name, migration.digest)
            )
    except psycopg.Error as error:
        raise MigrationError(f"{migration.name} failed and was rolled back: {error}") from error


def missing_migrations(conninfo: str) -> list[str]:
    """The names of the migrations that the database lacks."""
    with Connection.connect(conninfo, autocommit=True) as link:
        return [migration.name for migration in pending(link, load_migrations())]
