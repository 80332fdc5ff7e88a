"""Errors of commands, printed as three lines: what, why, and how to fix it."""

from __future__ import annotations

import difflib
from typing import cast

from cyclopts import CycloptsError, UnknownCommandError

FAILED, INVALID_USAGE, UNREACHABLE = 1, 2, 3
"""Exit codes: rejected or failed; invalid usage or setting; unreachable or unhealthy."""


class CliError(Exception):
    """An error with its reason, its fix, and the exit code of the command."""

    def __init__(self, what: str, why: str, fix: str, exit_code: int = FAILED) -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix, self.exit_code = what, why, fix, exit_code

    def __str__(self) -> str:
        return printable(f"error: {self.what}\n  why: {self.why}\n  fix: {self.fix}")


def to_cli_error(error: BaseException) -> CliError | None:
    """The error to print; None for an unexpected exception, which keeps its traceback."""
    if isinstance(error, CliError):
        return error
    if isinstance(error, CycloptsError):
        return _invalid_usage(error)
    if not isinstance(error, ExceptionGroup):
        return _by_type(error)
    group = cast("ExceptionGroup[Exception]", error)
    known = [cli_error for inner in group.exceptions if (cli_error := to_cli_error(inner))]
    return known[0] if known else CliError(group.message, _first(group), "see the log above; then start it again")


def printable(value: object) -> str:
    """Untrusted text for a terminal, without control characters."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _invalid_usage(error: CycloptsError) -> CliError:
    command = " ".join(["gofleet", *(error.command_chain or [])])
    if isinstance(error, UnknownCommandError) and error.app and error.unused_tokens:
        why = _unknown_command(error.unused_tokens[0], [name for name in error.app if not name.startswith("-")])
    else:
        why = printable(" ".join(str(error).split()))
    return CliError("invalid usage", why, f"see `{command} --help`", INVALID_USAGE)


def _unknown_command(name: str, commands: list[str]) -> str:
    """All commands of the group, because cyclopts names only those that are loaded."""
    near = difflib.get_close_matches(name, commands, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return printable(f"Unknown command {name!r}.{hint} Available commands: {', '.join(commands)}.")


def _by_type(error: BaseException) -> CliError | None:
    from psycopg import Error as PostgresError  # imported only when a command fails

    from gofleet.adapters.postgres.diagnostics import NotGranted
    from gofleet.adapters.postgres.migrate import MigrationError
    from gofleet.adapters.postgres.preconditions import UnusableDatabase
    from gofleet.embedded import EmbeddedError
    from gofleet.first_contact import StartError
    from gofleet.settings import SettingsError
    from gofleet.simulation.api import UnexpectedResponse

    match error:
        case SettingsError() | EmbeddedError() | UnusableDatabase() | StartError():
            exit_code = INVALID_USAGE if isinstance(error, SettingsError) else FAILED
            return CliError(error.what, error.why, error.fix, exit_code)
        case MigrationError():
            return CliError(
                "the database schema does not match this program", str(error), "see `gofleet migrate --check`"
            )
        case UnexpectedResponse():
            fix = "this is a defect of the demo: report it with its log"
            return CliError("the API refused a request of the simulated city", printable(error), fix)
        case NotGranted() | PostgresError():
            return _postgres_error(error)
        case OSError():
            return _system_error(error)
        case _:
            return None


def _system_error(error: OSError) -> CliError:
    if error.filename is None:
        fix = "if it is a port, set another one: WEB_SERVER_PORT, GRPC_PORT or METRICS_PORT"
        return CliError("a system call failed", str(error), fix)
    why = error.strerror or str(error)
    return CliError(f"cannot use {printable(error.filename)}", why, "choose a path that you may use")


def _postgres_error(error: Exception) -> CliError | None:
    from psycopg import OperationalError
    from psycopg.errors import InsufficientPrivilege

    from gofleet.adapters.postgres.diagnostics import NotGranted
    from gofleet.adapters.postgres.preconditions import connection_error
    from gofleet.domain.errors import LoginRefused

    match error:
        case NotGranted():
            fix = f"as an administrator, run: {error.fix}"
            return CliError("the PostgreSQL login lacks privileges", str(error), fix)
        case InsufficientPrivilege():
            fix = "grant the login the role of its process, as in `grant gofleet_api to api`; `migrate` needs the owner"
            return CliError("the PostgreSQL login lacks privileges", str(error).splitlines()[0], fix)
        case OperationalError():
            unavailable = connection_error(error)
            if isinstance(unavailable, LoginRefused):
                fix = "check DB_USER, DB_PASSWORD and DB_NAME; run `gofleet doctor`"
                return CliError("PostgreSQL refused the login", unavailable.why, fix)
            fix = "check DB_HOST, DB_PORT and DB_USER; run `gofleet doctor`"
            return CliError("PostgreSQL is unreachable", unavailable.why, fix, UNREACHABLE)
        case _:
            return None


def _first(error: ExceptionGroup[Exception]) -> str:
    inner = error.exceptions[0]
    return f"{type(inner).__name__}: {inner}"
