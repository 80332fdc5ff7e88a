"""`gofleet doctor` and `gofleet health`: diagnosis of an installation, and the health check of one role."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet.cli.api_client import within
from gofleet.cli.errors import UNREACHABLE, printable
from gofleet.cli.output import Cell, Json, print_json, print_table
from gofleet.cli.params import EnvFile, settings_from
from gofleet.cli.run import parse_roles

if TYPE_CHECKING:
    from gofleet.doctor import Diagnosis

HEALTH_SECONDS = 3.0
STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def doctor_command(
    *,
    role: Annotated[str, Parameter(help="Only what these roles need, separated by commas.")] = "all",
    url: Annotated[str | None, Parameter(help="Also check the API at this URL.", env_var="GOFLEET_URL")] = None,
    seconds: Annotated[float, Parameter(help="Timeout of the checks of one server.", validator=Number(gt=0))] = 10.0,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Check everything that the roles need: servers, schema, queues, clocks, ports. Nothing is changed.

    Each check is ok, a warning or failed, with the observation and a fix. The command fails if any check failed.
    """
    import asyncio
    import logging

    from gofleet.doctor import DoctorOptions, diagnose

    logging.disable()  # clients log the same errors that the diagnosis reports
    options = DoctorOptions(settings_from(env_file), parse_roles(role), url, seconds)
    diagnosis = asyncio.run(diagnose(options))
    if json:
        for result in diagnosis.results:
            print_json({name: str(getattr(result, name)) for name in result.__struct_fields__})
    else:
        _print_diagnosis(diagnosis)
    if not diagnosis.healthy:
        sys.exit(UNREACHABLE)


def health_command(
    *, url: Annotated[str | None, Parameter(help="Base URL; by default METRICS_PORT on this machine.")] = None
) -> None:
    """Exit 0 if the role is ready, otherwise 1 with the reason; for container health checks."""
    base = url or f"http://127.0.0.1:{_metrics_port()}"
    try:
        status, text = within(HEALTH_SECONDS, lambda: _readiness(base))
    except (OSError, HTTPException, ValueError, OverflowError) as error:
        print(f"no answer from {base}: {printable(error)}", file=sys.stderr)
        sys.exit(1)
    print(printable(text))
    sys.exit(0 if status == HTTPStatus.OK else 1)


def _metrics_port() -> int:
    """METRICS_PORT; read from the environment first, because loading all settings takes most of a probe's CPU."""
    if (port := os.environ.get("METRICS_PORT", "")).isdecimal():
        return int(port)
    from gofleet.settings import load

    return load().telemetry.metrics_port


def _readiness(base: str) -> tuple[int, str]:
    """Status and body of /health/ready. By the standard library, because importing httpx takes longer than the call."""
    address = urlsplit(base)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ValueError("it is not an http or https URL")
    kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
    with closing(kind(address.hostname, address.port, timeout=HEALTH_SECONDS)) as connection:
        connection.request("GET", f"{address.path.rstrip('/')}/health/ready")
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")


def _print_diagnosis(diagnosis: Diagnosis) -> None:
    rows = [
        [
            Cell(result.state.value, STYLES[result.state.value]),
            result.subject,
            result.check,
            result.seen + (f"\nfix: {result.fix}" if result.fix else ""),
        ]
        for result in diagnosis.results
    ]
    titles = ["state", "subject", "check", "observation and fix"]
    print_table(titles, rows, box=None, padding=(0, 1), header_style="dim")
    print(f"verdict: {'healthy' if diagnosis.healthy else 'not healthy'}")
