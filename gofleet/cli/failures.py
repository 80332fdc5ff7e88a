"""Errors as three lines: what, why, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True)
class Failure:
    what: str
    why: str
    fix: str
    exit_code: int = 1

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
    if not isinstance(error, ExceptionGroup):
        return _by_type(error)
    group = cast("ExceptionGroup[Exception]", error)
    known = [failure for inner in group.exceptions if (failure := explain(inner))]
    return known[0] if known else Failure(group.message, _first(group), "see the log above; then start it again")


def _by_type(error: BaseException) -> Failure | None:
    from psycopg import OperationalError  # noqa: PLC0415  only a failing command waits for these imports

    from gofleet.adapters.postgres.migrate import MigrationError  # noqa: PLC0415
    from gofleet.embedded import EmbeddedError  # noqa: PLC0415
    from gofleet.settings import SettingsError  # noqa: PLC0415

    match error:
        case SettingsError():
            return Failure(error.what, error.why, error.fix, exit_code=2)
        case EmbeddedError():
            return Failure(error.what, error.why, error.fix)
        case MigrationError():
            return Failure("the database does not fit this program", str(error), "`gofleet migrate --check` tells more")
        case OperationalError():
            return Failure(
                "PostgreSQL cannot be reached", str(error).splitlines()[0], "check DB_HOST, DB_PORT, DB_USER"
            )
        case OSError() if error.filename is None:
            return Failure("the system refused", str(error), "free the port, or set another one")
        case _:
            return None


def _first(error: ExceptionGroup[Exception]) -> str:
    inner = error.exceptions[0]
    return f"{type(inner).__name__}: {inner}"
