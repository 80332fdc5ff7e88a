"""`gofleet doctor`: whether everything that the roles need is there, and what to do where it is not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet.cli.errors import NOT_THERE, harmless
from gofleet.cli.output import Json, console, say
from gofleet.cli.run import chosen

if TYPE_CHECKING:
    from gofleet.doctor import Diagnosis

STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def doctor(
    *,
    role: Annotated[str, Parameter(help="Only what these need: roles with commas between.")] = "all",
    url: Annotated[str | None, Parameter(help="Also look at the API there.", env_var="GOFLEET_URL")] = None,
    seconds: Annotated[float, Parameter(help="Longest examination of one server.", validator=Number(gt=0))] = 10.0,
    json: Json = False,
) -> None:
    """Look at everything that the roles need: servers, schema, queues, clocks, ports. It changes nothing.

    Each line is ok, a warning or failed, with what was seen and what to do about it. It fails if any line does.
    """
    import asyncio
    import logging

    from gofleet.doctor import DoctorOptions, diagnose
    from gofleet.settings import load

    logging.disable()  # clients log what the diagnosis tells anyway
    diagnosis = asyncio.run(diagnose(DoctorOptions(load(), chosen(role), url, seconds)))
    if json:
        for finding in diagnosis.results:
            say({name: str(getattr(finding, name)) for name in finding.__struct_fields__})
    else:
        _show(diagnosis)
    if not diagnosis.healthy:
        sys.exit(NOT_THERE)


def _show(diagnosis: Diagnosis) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("state", "what", "", "seen, and what to do", box=None, padding=(0, 1), header_style="dim")
    for finding in diagnosis.results:
        state = Text(finding.state.value, style=STYLES[finding.state.value])
        seen = Text(harmless(finding.seen))
        if finding.fix:
            seen.append(f"\nfix: {harmless(finding.fix)}", style="bold")
        table.add_row(state, finding.subject, finding.check, seen)
    console().print(table)
    console().print(f"verdict: {'healthy' if diagnosis.healthy else 'not healthy'}", highlight=False)
