"""The command line. Commands are named, not imported: each is loaded when it is called."""

from __future__ import annotations

import asyncio
import sys

from cyclopts import App

from gofleet import __version__
from gofleet.cli.failures import Failure, explain

app = App(
    name="gofleet",
    help="A delivery-dispatch engine: orders in over REST, each one given the nearest free driver.",
    version=__version__,
)
app.command("gofleet.cli.demo:demo", name="demo")
app.command("gofleet.cli.run:run", name="run")
app.command("gofleet.cli.migrate:migrate", name="migrate")
app.command("gofleet.cli.config:config", name="config")
app.command("gofleet.cli.health:health", name="health")
app.command("gofleet.cli.verify:verify", name="verify")

parked = App(name="parked", help="Messages that were given up: look at them, have them replayed.")
parked.command("gofleet.cli.parked:listed", name="list")
parked.command("gofleet.cli.parked:groups", name="groups")
parked.command("gofleet.cli.parked:opened", name="show")
parked.command("gofleet.cli.parked:replay", name="replay")
app.command(parked)
outbox = App(name="outbox", help="Events that the broker refused for good: look at them, have them tried again.")
outbox.command("gofleet.cli.outbox:listed", name="list")
outbox.command("gofleet.cli.outbox:retry", name="retry")
app.command(outbox)


def main() -> None:
    """Run the command in sys.argv. Exit codes: 0 done, 1 failed, 2 wrong call or setting, 130 Ctrl-C."""
    try:
        sys.exit(app() or 0)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)  # the second Ctrl-C or SIGTERM: somebody is in a hurry
    except Exception as error:
        failure: Failure | None = explain(error)
        if failure is None:
            raise
        print(failure, file=sys.stderr)
        sys.exit(failure.exit_code)
