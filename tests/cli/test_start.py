"""Start time of the command line, and the libraries that its help must not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from cyclopts import App

from gofleet.cli import app
from gofleet.cli.params import CauseName, StageName, StatusName, to_api_status
from gofleet.cli.watch import FINAL
from gofleet.domain.order import TRANSITIONS, Status
from gofleet.domain.parked import Cause, Stage

CPU_RATIO_MAX = 1.5  # to the smallest program with the same command-line library; 0.8 when this was written
ATTEMPTS = 3
HEAVY_LIBRARIES = {
    "dynaconf",
    "faststream",
    "granian",
    "grpclib",
    "httpx",
    "litestar",
    "msgspec",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "redis",
}
HELP = """
import sys
sys.argv = ["gofleet", *sys.argv[1:], "--help"]
from gofleet.cli import main
try:
    main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
import json
sys.stderr.write(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
RUN = """
import sys
sys.argv = ["gofleet", *sys.argv[1:]]
from gofleet.cli import main
try:
    main()
except SystemExit:
    pass
import json
sys.stderr.write("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
NEEDED = {
    "openapi": set[str](),
    "asyncapi": set[str](),
    "acl": {"dynaconf", "msgspec"},
    "config check": {"dynaconf", "msgspec"},
    "health --url http://127.0.0.1:1": set[str](),
    "orders list --url http://127.0.0.1:1": {"httpx", "msgspec"},
    "topology": {"dynaconf", "faststream", "msgspec", "opentelemetry"},
    "--version": set[str](),
}
"""Command -> the heavy libraries that it may load."""
SMALLEST = """
import sys
from cyclopts import App
app = App(name="smallest", help="The smallest program there is.")
@app.command
def one(count: int = 1) -> None:
    "Do one thing."
try:
    app(["one", "--help"])
except SystemExit as ended:
    assert ended.code in (0, None), ended.code
sys.stderr.write("[]")
"""


def commands(app: App, *before: str) -> Iterator[tuple[str, ...]]:
    """Every command and group of the app."""
    yield before
    for name in app:
        if not name.startswith("-"):
            yield from commands(app[name], *before, name)


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bytecode cache, so that only the first start compiles."""
    place = tmp_path_factory.mktemp("bytecode")
    _fresh(HELP, (), place)
    _fresh(SMALLEST, (), place)
    return place


@pytest.mark.parametrize("arguments", list(commands(app)), ids=" ".join)
def test_help_is_fast_and_imports_no_heavy_library(arguments: tuple[str, ...], bytecode: Path) -> None:
    loaded, output, _ = _fresh(HELP, arguments, bytecode)  # also compiles the command's modules
    # Alternately, because the speed of a machine varies; the minimum of each is compared.
    smallest = ours = float("inf")
    for _ in range(ATTEMPTS):
        smallest = min(smallest, _fresh(SMALLEST, (), bytecode)[2])
        ours = min(ours, _fresh(HELP, arguments, bytecode)[2])
        if ours <= CPU_RATIO_MAX * smallest:
            break

    assert "Usage: gofleet" in output
    assert loaded & HEAVY_LIBRARIES == set()
    assert ours <= CPU_RATIO_MAX * smallest


@pytest.mark.parametrize("command", NEEDED)
def test_a_command_loads_the_libraries_that_it_needs_only(command: str, bytecode: Path) -> None:
    loaded, _, _ = _fresh(RUN, tuple(command.split()), bytecode)

    assert loaded & HEAVY_LIBRARIES <= NEEDED[command]


def _fresh(program: str, arguments: tuple[str, ...], bytecode: Path) -> tuple[set[str], str, float]:
    """Loaded modules, output, and CPU seconds (user and system) of a new process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={**environment, "PYTHONPYCACHEPREFIX": str(bytecode)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        output, errors = process.stdout.read(), process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, errors
    return set(json.loads(errors.splitlines()[-1])), output, used.ru_utime + used.ru_stime


def test_option_values_are_those_of_the_domain() -> None:
    assert [to_api_status(name) for name in get_args(StatusName)] == list(Status)
    assert list(get_args(CauseName)) == list(Cause)
    assert list(get_args(StageName)) == list(Stage)
    assert {status for status, moves in TRANSITIONS.items() if not moves} == FINAL


def test_registers_every_command() -> None:
    found = {" ".join(arguments) for arguments in commands(app)}

    assert {"orders watch", "drivers simulate", "config check", "run", "parked replay"} <= found
