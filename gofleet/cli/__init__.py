"""The command line. Commands are named, not imported: each is loaded when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Annotated, Any

from cyclopts import App, Parameter

from gofleet import __version__
from gofleet.cli.credentials import given
from gofleet.cli.errors import Failure, explain

EXIT_CODES = (
    "Whatever asks an API takes --token TOKEN (or GOFLEET_TOKEN), and without it what `gofleet login` has kept.\n\n"
    "Exit codes: 0 done, 1 refused or failed, 2 wrong call or setting, 3 not reachable or not healthy."
)
COMMANDS = {
    "": {
        "demo": "demo:demo",
        "run": "run:run",
        "migrate": "migrate:migrate",
        "config": "config:app",
        "doctor": "doctor:doctor",
        "health": "health:health",
        "verify": "verify:verify",
        "openapi": "documents:openapi",
        "asyncapi": "documents:asyncapi",
        "topology": "documents:topology",
        "acl": "documents:acl",
        "certs": "certs:certs",
        "login": "login:login",
        "logout": "login:logout",
        "completion": "completion:completion",
    },
    "orders": {
        "create": "orders:create",
        "get": "orders:get",
        "list": "orders:listed",
        "watch": "watch:watch",
        "cancel": "order_transitions:cancel",
        "deliver": "order_transitions:deliver",
        "dispatch": "order_transitions:dispatch",
        "redispatch": "order_transitions:redispatch",
        "events": "orders:events",
        "candidates": "orders:candidates",
    },
    "drivers": {
        "list": "drivers:listed",
        "show": "drivers:shown",
        "set": "drivers:registered",
        "duty": "drivers:duty",
        "move": "drivers:move",
        "simulate": "simulate:simulate",
    },
    "parked": {
        "list": "parked:listed",
        "groups": "parked:groups",
        "show": "parked:opened",
        "replay": "parked:replay",
    },
    "outbox": {"list": "outbox:listed", "retry": "outbox:retry"},
}
"""Group -> command -> where in gofleet.cli it is."""
GROUPS = {
    "orders": "Create orders, look at them, follow them, and move them by hand.",
    "drivers": "Register drivers, look at them, and move them.",
    "parked": "Messages that were given up: look at them, have them replayed.",
    "outbox": "Events that the broker refused for good: look at them, have them tried again.",
}


class Commands(App):
    """A group of commands; to tell what each is for, its help loads them."""

    def help_print(
        self,
        tokens: Annotated[str | Iterable[str] | None, Parameter(show=False)] = None,
        *,
        console: Annotated[Any, Parameter(parse=False)] = None,
    ) -> None:
        _, apps, _ = self.parse_commands(tokens)
        for name in apps[-1]:
            apps[-1][name]
        super().help_print(tokens, console=console)


app = Commands(
    name="gofleet",
    help="A delivery-dispatch engine: orders in over REST, each one given the nearest free driver.",
    help_epilogue=EXIT_CODES,
    help_format="plaintext",  # Markdown would cost a third of the time
    version=__version__,
)
for group, commands in COMMANDS.items():
    home = app
    if group:
        home = Commands(name=group, help=GROUPS[group])
        app.command(home)
    for name, place in commands.items():
        home.command(f"gofleet.cli.{place}", name=name)


def main() -> None:
    """Run the command in sys.argv. Exit codes: 0 done, 1 refused or failed, 2 wrong call or setting, 3 not reachable or
    not healthy, 130 Ctrl-C."""
    try:
        sys.exit(app(given(sys.argv[1:]), exit_on_error=False, print_error=False) or 0)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        failure: Failure | None = explain(error)
        if failure is None:
            raise
        print(failure, file=sys.stderr)
        sys.exit(failure.exit_code)
    except BaseException as error:
        if type(error).__name__ != "CancelledError":
            raise
        sys.exit(130)  # the second Ctrl-C or SIGTERM: somebody is in a hurry
