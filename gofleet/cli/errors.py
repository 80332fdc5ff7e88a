"""Errors as three lines: what, why, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from cyclopts import CycloptsError

REFUSED, WRONG_CALL, NOT_THERE = 1, 2, 3
"""Exit codes: refused or failed; wrong call or setting; not reachable or not healthy."""


@dataclass(frozen=True)
class Failure:
    what: str
    why: str
    fix: str
    exit_code: int = REFUSED

    def __str__(self) -> str:
        return f"error: {self.what}\n  why: {self.why}\n  fix: {self.fix}"


class CommandFailed(Exception):
    """What a command itself found wrong."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def explain(error: BaseException) -> Failure | None:
    """What to tell the person who typed the command; None for an error that nobody foresaw."""
    if isinstance(error, CommandFailed):
        return error.failure
    if isinstance(error, CycloptsError):
        return _wrong_call(error)
    if not isinstance(error, ExceptionGroup):
        return _by_type(error)
    group = cast("ExceptionGroup[Exception]", error)
    known = [failure for inner in group.exceptions if (failure := explain(inner))]
    return known[0] if known else Failure(group.message, _first(group), "see the log above; then start it again")


def harmless(value: object) -> str:
    """Somebody else's text for a terminal: without control characters, which could do anything there."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _wrong_call(error: CycloptsError) -> Failure:
    command = " ".join(["gofleet", *(error.command_chain or [])])
    why = harmless(" ".join(str(error).split()))
    return Failure("that is no call of a command", why, f"`{command} --help` shows how it goes", WRONG_CALL)


def _by_type(error: BaseException) -> Failure | None:
    from psycopg import Error as PostgresError  # only a failing command waits for these imports

    from gofleet.adapters.postgres.migrate import MigrationError
    from gofleet.adapters.postgres.privileges import NotGranted
    from gofleet.embedded import EmbeddedError
    from gofleet.settings import SettingsError

    match error:
        case SettingsError():
            return Failure(error.what, error.why, error.fix, WRONG_CALL)
        case EmbeddedError():
            return Failure(error.what, error.why, error.fix)
        case MigrationError():
            return Failure("the database does not fit this program", str(error), "`gofleet migrate --check` tells more")
        case NotGranted() | PostgresError():
            return _of_postgres(error)
        case OSError() if error.filename is None:
            return Failure("the system refused", str(error), "free the port, or set another one")
        case _:
            return None


def _of_postgres(error: Exception) -> Failure | None:
    from psycopg import OperationalError
    from psycopg.errors import InsufficientPrivilege

    from gofleet.adapters.postgres.privileges import NotGranted

    match error:
        case NotGranted():
            fix = f"have an administrator say: {error.fix}"
            return Failure("PostgreSQL lets this login do too little", str(error), fix)
        case InsufficientPrivilege():
            fix = "grant the login the role of its process, as in `grant gofleet_api to api`; `migrate` takes the owner"
            return Failure("PostgreSQL lets this login do too little", str(error).splitlines()[0], fix)
        case OperationalError():
            why, fix = str(error).splitlines()[0], "check DB_HOST, DB_PORT, DB_USER; `gofleet doctor` looks closer"
            return Failure("PostgreSQL cannot be reached", why, fix, NOT_THERE)
        case _:
            return None


def _first(error: ExceptionGroup[Exception]) -> str:
    inner = error.exceptions[0]
    return f"{type(inner).__name__}: {inner}"
