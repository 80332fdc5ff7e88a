"""The house keeps its shape: what is said twice is said alike, and nothing lies around unused."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from prometheus_client import REGISTRY

from gofleet.adapters.postgres.queries import Queries
from gofleet.cli.config import markdown_table
from gofleet.domain.order import TRANSITIONS, Status
from gofleet.files import shipped
from gofleet.telemetry import metrics

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCES = sorted((ROOT / "gofleet").rglob("*.py"))
LONGEST_FILE = 300


def test_the_database_allows_exactly_the_moves_of_the_domain(clean_database: str) -> None:
    allowed: set[tuple[Status, Status]] = set()
    with psycopg.connect(clean_database, autocommit=True) as link:
        for was in Status:
            for wanted in Status:
                if was is not wanted and _database_moves(link, was, wanted):
                    allowed.add((was, wanted))

    assert allowed == {(was, wanted) for was, targets in TRANSITIONS.items() for wanted in targets}


def _database_moves(link: psycopg.Connection, was: Status, wanted: Status) -> bool:
    driver = {Status.DISPATCHED: "'ana'", Status.DELIVERED: "'ana'"}
    reason = {Status.MANUAL_DISPATCH: "'no_driver'"}
    with link.transaction(force_rollback=True):
        statement = (
            "insert into orders (id, price, tax, final_price, status, driver_id, reason)"
            f" values ('o', 1, 0, 1, '{was}', {driver.get(was, 'null')}, {reason.get(was, 'null')})"
        )
        link.execute(statement.encode())
        try:
            link.execute(
                f"update orders set status = '{wanted}', driver_id = {driver.get(wanted, 'null')},"
                f" reason = {reason.get(wanted, 'null')}".encode()
            )
        except psycopg.errors.CheckViolation:
            return False
    return True


def test_the_readme_draws_exactly_the_moves_of_the_domain() -> None:
    diagram = re.search(r"```mermaid\s+stateDiagram-v2(.*?)```", README, re.S)
    assert diagram is not None
    drawn = set(re.findall(r"^\s*([A-Z_]+) --> ([A-Z_]+)", diagram.group(1), re.M))

    assert drawn == {(was.value, wanted.value) for was, targets in TRANSITIONS.items() for wanted in targets}


def test_the_readme_lists_exactly_the_settings_there_are() -> None:
    assert markdown_table() in README


def test_the_readme_lists_exactly_the_metrics_there_are() -> None:
    assert metrics.BREAKER_STATE  # importing them declares them
    ours = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in REGISTRY.collect()
        if metric.name.startswith("gofleet_")
    }

    assert set(re.findall(r"`(gofleet_\w+)`", README)) == ours


def test_every_query_is_used() -> None:
    users = [ROOT / "gofleet/adapters/postgres", ROOT / "gofleet/verification"]
    code = "\n".join(path.read_text(encoding="utf-8") for place in users for path in place.glob("*.py"))
    for file in sorted((shipped("sql") / "queries").glob("*.sql")):
        for name in Queries(file.stem).statements:
            assert re.search(rf"\b{file.stem.upper()}\.{name}\b", code), f"{file.name}: {name}"


def test_an_unknown_query_fails_with_its_file() -> None:
    with pytest.raises(AttributeError, match=r"sql/queries/orders.sql has no query named nonsense"):
        _ = Queries("orders").nonsense


def test_no_file_is_too_long_to_read_in_one_go() -> None:
    generated = "adapters/grpc/pb"
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if generated not in str(path) and (lines := path.read_text(encoding="utf-8").count("\n")) > LONGEST_FILE
    }

    assert long == {}


def test_words_without_meaning_name_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "impl", "service", "misc"}

    assert [str(path) for path in SOURCES if path.stem in empty or path.parent.name in empty] == []


def test_sql_is_never_put_together_from_values() -> None:
    """An f-string handed to execute() may hold only our own constants, of which the NOTIFY channel is one."""
    found = [
        f"{path.name}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "execute"
        and any(isinstance(argument, ast.JoinedStr) for argument in node.args)
        and path.name != "notify.py"
    ]

    assert found == []


@pytest.mark.parametrize("words", ["--help", "run --help", "demo --help"])
def test_help_comes_without_a_web_framework(words: str) -> None:
    code = (
        "import sys; sys.argv = ['gofleet', *" + repr(words.split()) + "]\n"
        "from gofleet.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('LITESTAR' if 'litestar' in sys.modules else 'LIGHT')"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert said.splitlines()[-1] == "LIGHT"
    assert "Usage" in said
