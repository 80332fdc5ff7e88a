"""`gofleet verify`: checks the guarantees of an installation and names every violation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from gofleet.cli.errors import CliError
from gofleet.cli.output import Cell, print_json, print_table
from gofleet.cli.params import EnvFile, settings_from

if TYPE_CHECKING:
    from gofleet.verification import InvariantResult, Report

STYLES = {"holds": "green", "violated": "bold red", "unknown": "yellow", "not checked": "dim"}
"""Style of each verdict."""
UNREADABLE_FIX = "check that it is available and the settings that name it; `gofleet config` shows them"


def verify_command(
    *,
    ledger: Annotated[Path | None, Parameter(help="JSON lines of client requests and responses.")] = None,
    tap: Annotated[Path | None, Parameter(help="JSON lines of all events that the broker delivered.")] = None,
    management: Annotated[str | None, Parameter(help="Base URL of RabbitMQ's management API.")] = None,
    broker_lost_data: Annotated[
        bool, Parameter(help="The broker lost messages: effects of that loss are not violations.")
    ] = False,
    live: Annotated[bool, Parameter(help="Orders are in flight: skip checks that hold only at rest.")] = False,
    env_file: EnvFile = None,
    json: Annotated[bool, Parameter(help="Print the report as one JSON object.")] = False,
) -> None:
    """Check the invariants I1 to I19 against PostgreSQL, the broker and Redis. Nothing is changed.

    Exit codes: 0 every checked invariant holds, 1 an invariant is violated, 3 a source could not be read.
    """
    import asyncio
    import logging

    from gofleet.verification import Inputs, verify

    inputs = Inputs(ledger=ledger, tap=tap, management=management, broker_lost_data=broker_lost_data, live=live)
    logging.disable()  # clients log the same errors that the report contains
    report = asyncio.run(verify(settings_from(env_file), inputs))
    if json:
        print_json(report.as_dict())
    else:
        _print_report(report)
    for why in dict.fromkeys(why for result in report.results for why in result.unreadable):
        print(CliError("a source could not be read", why, UNREADABLE_FIX), file=sys.stderr)
    sys.exit(report.exit_code)


def _print_report(report: Report) -> None:
    rows = [
        [result.id, result.title, Cell(_verdict(result), STYLES[result.verdict.value]), "\n".join(_details(result))]
        for result in report.results
    ]
    titles = ["", "invariant", "verdict", "offenders and notes"]
    print_table(titles, rows, wrapped=(titles[1], titles[3]))
    print(f"verdict: {report.verdict}")


def _verdict(result: InvariantResult) -> str:
    return result.verdict.upper() if result.verdict == "violated" else result.verdict.value


def _details(result: InvariantResult) -> list[str]:
    lines = [f"{offender.subject}: {offender.why}" for offender in result.offenders]
    if (more := result.total - len(result.offenders)) > 0:
        lines.append(f"... and {more} more")
    lines += [why.split(": ")[0] for why in result.unreadable]
    if result.lacking:
        lines.append(f"{'partly checked: ' if result.checks else ''}needs {', '.join(result.lacking)}")
    return lines + result.notes
