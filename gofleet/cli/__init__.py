"""The command line. Each command is loaded when it is called, which keeps the start fast."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Annotated, Any

from cyclopts import App, Parameter

from gofleet import __version__
from gofleet.cli.api_client import extract_token
from gofleet.cli.errors import CliError, to_cli_error

EPILOGUE = (
    "Commands that call an API accept --token TOKEN (or GOFLEET_TOKEN); the default is the token stored by"
    " `gofleet login`.\n\n"
    "Exit codes: 0 success, 1 rejected or failed, 2 invalid usage or setting, 3 unreachable or unhealthy."
)
COMMANDS = {
    "": {
        "demo": "demo:demo_command",
        "run": "run:run_command",
        "migrate": "run:migrate_command",
        "config": "config:config_app",
        "doctor": "doctor:doctor_command",
        "health": "doctor:health_command",
        "verify": "verify:verify_command",
        "openapi": "documents:openapi_command",
        "asyncapi": "documents:asyncapi_command",
        "topology": "documents:topology_command",
        "acl": "documents:acl_command",
        "certs": "documents:certs_command",
        "login": "login:login_command",
        "logout": "login:logout_command",
        "completion": "documents:completion_command",
    },
    "orders": {
        "create": "orders:create_order_command",
        "get": "orders:get_order_command",
        "list": "orders:list_orders_command",
        "watch": "watch:watch_orders_command",
        "change": "orders:change_order_command",
        "cancel": "orders:cancel_order_command",
        "deliver": "orders:deliver_order_command",
        "dispatch": "orders:dispatch_order_command",
        "redispatch": "orders:redispatch_order_command",
        "events": "orders:list_order_events_command",
        "candidates": "orders:list_candidates_command",
    },
    "drivers": {
        "list": "drivers:list_drivers_command",
        "show": "drivers:show_driver_command",
        "set": "drivers:set_driver_command",
        "duty": "drivers:set_duty_command",
        "move": "drivers:update_position_command",
        "simulate": "simulate:simulate_drivers_command",
    },
    "parked": {
        "list": "parked:list_parked_command",
        "groups": "parked:list_parked_groups_command",
        "show": "parked:show_parked_command",
        "replay": "parked:replay_parked_command",
    },
    "outbox": {
        "list": "parked:list_failed_events_command",
        "retry": "parked:retry_failed_events_command",
    },
}
"""Group -> command -> its function or app in gofleet.cli."""
GROUPS = {
    "orders": "Create orders, read them, follow them, and change their status.",
    "drivers": "Register drivers, read them, and update their positions.",
    "parked": "Parked messages (dead-letter storage): inspect and replay them.",
    "outbox": "Events that could not be published: inspect and retry them.",
}


class CommandGroup(App):
    """A group of commands; only its help page loads all of them, for their summaries."""

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


app = CommandGroup(
    name="gofleet",
    help="A delivery-dispatch engine: accepts orders over REST and assigns the nearest free driver.",
    help_epilogue=EPILOGUE,
    help_format="plaintext",  # Markdown takes a third of the start time
    version=__version__,
)
for group, commands in COMMANDS.items():
    parent = app
    if group:
        parent = CommandGroup(name=group, help=GROUPS[group])
        app.command(parent)
    for name, target in commands.items():
        parent.command(f"gofleet.cli.{target}", name=name)


def main() -> None:
    """Run the command in sys.argv.

    Exit codes: 0 success, 1 rejected or failed, 2 invalid usage or setting, 3 unreachable or unhealthy, 130 interrupt.
    """
    try:
        sys.exit(app(extract_token(sys.argv[1:]), exit_on_error=False, print_error=False) or 0)
    except BrokenPipeError:  # the reader, such as `| head`, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        cli_error: CliError | None = to_cli_error(error)
        if cli_error is None:
            raise
        print(cli_error, file=sys.stderr)
        sys.exit(cli_error.exit_code)
    except BaseException as error:
        if type(error).__name__ != "CancelledError":
            raise
        sys.exit(130)  # a second Ctrl-C or SIGTERM cancels the graceful stop
