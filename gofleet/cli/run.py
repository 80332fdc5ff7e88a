"""`gofleet run`: play roles until told to stop."""

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


def run(*, role: Annotated[str, Parameter(help="api, relay, worker, fleet, several with commas, or all.")]) -> None:
    """Play one or several roles in this process, until SIGTERM or Ctrl-C; then finish what is in hand and exit 0."""
    from gofleet.process import Process
    from gofleet.settings import load, secrets_of, unsafe
    from gofleet.telemetry.logging import log_to, wants_json

    names = chosen(role)
    settings = load()
    for wrong in unsafe(settings, names):
        raise wrong
    arm(settings)
    json = wants_json(settings.telemetry.log_format)
    context = {"role": ",".join(names), "version": __version__}
    log_to(sys.stdout, level=settings.telemetry.log_level, json=json, context=context, secrets=secrets_of(settings))
    play(Process(settings, names))


YOUNG = 100_000
"""New objects, less those that are gone, after which Python looks for cycles among them. By its own 700 it looks all
the time and finds next to nothing: some 5 % of what an order costs."""


def play(process: Process) -> None:
    import asyncio
    import gc

    from gofleet.roles import role

    roles = [role(name) for name in process.roles]
    # All modules are there, and stay: a collection that looks through them takes 50 ms, in which nobody is answered.
    gc.freeze()
    gc.set_threshold(YOUNG)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(process.run(roles))


def loop_factory() -> Callable[[], AbstractEventLoop] | None:
    """uvloop's, which does the same for about a tenth less; None = Python's own, where there is no uvloop."""
    if sys.platform == "win32":
        return None
    from uvloop import new_event_loop

    return new_event_loop


def arm(settings: Settings) -> None:
    """Arm the failpoints that are asked for; `SettingsError` for a wrong one, and for any in production."""
    from gofleet.settings import SettingsError

    spec = settings.general.failpoints
    if spec and settings.general.environment == "production":
        why = f"{spec!r} from {settings.sources['GOFLEET_FAILPOINTS']}"
        raise SettingsError("GOFLEET_FAILPOINTS is set in production", why, "failpoints kill; they are for tests")
    try:
        failpoints.arm(spec)
    except failpoints.WrongFailpoint as error:
        raise SettingsError("GOFLEET_FAILPOINTS is wrong", str(error), "or leave it empty") from error


def chosen(text: str) -> list[str]:
    """The roles in `text`, servers before their callers; `SettingsError` names one that does not exist."""
    from gofleet.roles import ORDER
    from gofleet.settings import SettingsError

    wanted = [name.strip() for name in text.split(",")]
    if wanted == ["all"]:
        return list(ORDER)
    for name in wanted:
        if name not in ORDER:
            raise SettingsError(f"unknown role {name!r}", "--role says so", f"roles are {', '.join(ORDER)} and all")
    return [name for name in ORDER if name in wanted]
