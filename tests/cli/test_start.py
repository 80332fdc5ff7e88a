"""How quickly the command line answers, and what it must not load for that."""

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
from gofleet.cli.params import CauseName, StageName, StatusName, status
from gofleet.cli.watch import FINAL
from gofleet.domain.order import TRANSITIONS, Status
from gofleet.domain.parked import Cause, Stage

TIMES = 1.5  # of what the smallest program of the same library for command lines takes; 0.8 when this was written
TRIES = 3
HEAVY = {
    "dynaconf",
    "faststream",
    "granian",
    "grpclib",
    "httpx",
    "litestar",
    "msgspec",
    "opentelemetry",
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
    """Every command there is, and every group, as the app itself knows them."""
    yield before
    for name in app:
        if not name.startswith("-"):
            yield from commands(app[name], *before, name)


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Python keeps what it has compiled: the first start of all pays for that, and no later one."""
    place = tmp_path_factory.mktemp("bytecode")
    _fresh(HELP, (), place)
    _fresh(SMALLEST, (), place)
    return place


@pytest.mark.parametrize("words", list(commands(app)), ids=" ".join)
def test_help_is_quick_and_loads_nothing_heavy(words: tuple[str, ...], bytecode: Path) -> None:
    loaded, said, _ = _fresh(HELP, words, bytecode)  # also compiles the command's own modules
    # Turn by turn, since a machine's speed changes while tests run: the best of each is compared.
    smallest = ours = float("inf")
    for _ in range(TRIES):
        smallest = min(smallest, _fresh(SMALLEST, (), bytecode)[2])
        ours = min(ours, _fresh(HELP, words, bytecode)[2])
        if ours <= TIMES * smallest:
            break

    assert "Usage: gofleet" in said
    assert loaded & HEAVY == set()
    assert ours <= TIMES * smallest


def _fresh(program: str, words: tuple[str, ...], bytecode: Path) -> tuple[set[str], str, float]:
    """What a fresh process has loaded and printed, and the CPU seconds that it took, of user and system."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        env={**environment, "PYTHONPYCACHEPREFIX": str(bytecode)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        said, complained = process.stdout.read(), process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, complained
    return set(json.loads(complained)), said, used.ru_utime + used.ru_stime


def test_the_values_that_options_take_are_those_of_the_domain() -> None:
    assert [status(name) for name in get_args(StatusName)] == list(Status)
    assert list(get_args(CauseName)) == list(Cause)
    assert list(get_args(StageName)) == list(Stage)
    assert {status for status, moves in TRANSITIONS.items() if not moves} == FINAL


def test_every_command_is_there() -> None:
    found = {" ".join(words) for words in commands(app)}

    assert {"orders watch", "drivers simulate", "config check", "run", "parked replay"} <= found
