"""`gofleet run` and `gofleet migrate`: run roles, and apply the database migrations that they need."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from gofleet import __version__, failpoints

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from gofleet.process import Process
    from gofleet.settings import Settings

GC_THRESHOLD = 100_000
"""Net new objects before a cyclic garbage collection. With Python's default of 700 it runs all the time and finds
almost nothing, at some 5 % of the cost of an order."""


def run_command(
    *, role: Annotated[str, Parameter(help="api, relay, worker or fleet, several separated by commas, or all.")]
) -> None:
    """Run one or several roles in this process until SIGTERM or Ctrl-C; then finish the work in flight and exit 0."""
    from gofleet.listening import check_listeners
    from gofleet.process import Process
    from gofleet.settings import load, secrets_of, unsafe
    from gofleet.telemetry.logging import log_to, wants_json

    names = parse_roles(role)
    settings = load()
    for error in unsafe(settings, names):
        raise error
    arm_failpoints(settings)
    check_listeners(settings, names)
    json = wants_json(settings.telemetry.log_format)
    context = {"role": ",".join(names), "version": __version__}
    log_to(sys.stdout, level=settings.telemetry.log_level, json=json, context=context, secrets=secrets_of(settings))
    run_process(Process(settings, names))


def run_process(process: Process) -> None:
    import asyncio
    import gc

    from gofleet.roles import role

    roles = [role(name) for name in process.roles]
    # Modules live as long as the process: a collection that traverses them takes 50 ms and blocks all requests.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(process.run(roles))


def loop_factory() -> Callable[[], AbstractEventLoop] | None:
    """uvloop, which takes about a tenth less CPU; None = Python's own loop, where uvloop is not available."""
    if sys.platform == "win32":
        return None
    from uvloop import new_event_loop

    return new_event_loop


def arm_failpoints(settings: Settings) -> None:
    """Arm the configured failpoints; `SettingsError` for an invalid one, and for any in production."""
    from gofleet.settings import SettingsError

    spec = settings.general.failpoints
    if spec and settings.general.environment == "production":
        why = f"{spec!r} from {settings.sources['GOFLEET_FAILPOINTS']}"
        fix = "unset it: failpoints stop processes, and are only for tests"
        raise SettingsError("GOFLEET_FAILPOINTS is set in production", why, fix)
    try:
        failpoints.arm(spec)
    except failpoints.WrongFailpoint as error:
        raise SettingsError("GOFLEET_FAILPOINTS is wrong", str(error), "correct it, or leave it empty") from error


def parse_roles(text: str) -> list[str]:
    """The roles in `text`, servers before their clients; `SettingsError` for an unknown role."""
    from gofleet.roles import ORDER
    from gofleet.settings import SettingsError

    requested = [name.strip() for name in text.split(",")]
    if requested == ["all"]:
        return list(ORDER)
    for name in requested:
        if name not in ORDER:
            fix = f"use {', '.join(ORDER)} or all"
            raise SettingsError(f"unknown role {name!r}", "it is the value of --role", fix)
    return [name for name in ORDER if name in requested]


def migrate_command(
    *, check: Annotated[bool, Parameter(help="Change nothing; exit 1 if a migration is missing.")] = False
) -> None:
    """Apply missing database migrations. Safe to repeat, also concurrently."""
    import asyncio

    from gofleet import parts
    from gofleet.adapters.postgres.migrate import apply_migrations, missing_migrations
    from gofleet.adapters.postgres.preconditions import refuse_pooler
    from gofleet.settings import load, unsafe

    settings = load()
    for error in unsafe(settings, roles=()):
        raise error
    dsn = parts.conninfo(settings)
    asyncio.run(refuse_pooler(dsn))  # it would keep the advisory lock
    if check:
        names = missing_migrations(dsn)
        print("\n".join(f"missing {name}" for name in names) or "the schema is up to date")
        sys.exit(1 if names else 0)
    count = apply_migrations(
        dsn,
        done=lambda name: print(f"applied {name}"),
        warned=lambda text: print(f"warning: {text}", file=sys.stderr),
    )
    if not count:
        print("the schema is up to date")
