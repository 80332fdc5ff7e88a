"""`gofleet verify`: whether every promise was kept, with the names of whom it was not kept to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from gofleet.cli.errors import Failure

if TYPE_CHECKING:
    from gofleet.verification import InvariantResult, Report

STYLES = {"holds": "green", "violated": "bold red", "unknown": "yellow", "not checked": "dim"}
"""By verdict."""
FIXES = "check that it is there and the settings that name it; `gofleet config` shows them"


def verify(
    *,
    ledger: Annotated[Path | None, Parameter(help="What clients did and were answered, as JSON lines.")] = None,
    tap: Annotated[Path | None, Parameter(help="Every event that left the broker, as JSON lines.")] = None,
    management: Annotated[str | None, Parameter(help="Base address of RabbitMQ's management API.")] = None,
    broker_lost_data: Annotated[bool, Parameter(help="The broker lost messages: what that explains is right.")] = False,
    live: Annotated[bool, Parameter(help="Orders are under way: skip what is true only at rest.")] = False,
    json: Annotated[bool, Parameter(help="The report as one JSON object.")] = False,
) -> None:
    """Check the invariants I1 to I18 against PostgreSQL, the broker and Redis, changing nothing.

    Exit codes: 0 all that was checked holds, 1 something is violated, 3 something could not be read.
    """
    import asyncio
    import logging

    import msgspec

    from gofleet.settings import load
    from gofleet.verification import Inputs
    from gofleet.verification import verify as check

    inputs = Inputs(ledger=ledger, tap=tap, management=management, broker_lost_data=broker_lost_data, live=live)
    logging.disable()  # clients log what the report tells anyway
    report = asyncio.run(check(load(), inputs))
    if json:
        print(msgspec.json.encode(report.as_dict()).decode())
    else:
        _show(report)
    for why in dict.fromkeys(why for finding in report.results for why in finding.unreadable):
        print(Failure("not everything could be read", why, FIXES), file=sys.stderr)
    sys.exit(report.exit_code)


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table("", "invariant", "verdict", "who, and what else is to be said")
    for finding in report.results:
        verdict = Text(_verdict(finding), style=STYLES[finding.verdict.value])
        table.add_row(finding.id, Text(finding.title), verdict, Text("\n".join(_details(finding))))
    console.print(table)
    console.print(f"verdict: {report.verdict}", highlight=False)


def _verdict(finding: InvariantResult) -> str:
    return finding.verdict.upper() if finding.verdict == "violated" else finding.verdict.value


def _details(finding: InvariantResult) -> list[str]:
    lines = [f"{offender.subject}: {offender.why}" for offender in finding.offenders]
    if (more := finding.total - len(finding.offenders)) > 0:
        lines.append(f"... and {more} more")
    lines += [why.split(": ")[0] for why in finding.unreadable]
    if finding.lacking:
        lines.append(f"{'in part: ' if finding.checks else ''}needs {', '.join(finding.lacking)}")
    return lines + finding.notes
