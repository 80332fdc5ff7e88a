"""Structure of the code: module sizes and names, imports, unused queries, and what is stated twice."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import psycopg
import pytest

from gofleet.adapters.postgres.queries import Queries
from gofleet.domain.order import TRANSITIONS, Status
from gofleet.files import shipped

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "gofleet").rglob("*.py"))
GENERATED = "adapters/grpc/pb"
LINES_MAX = 350


def test_the_database_allows_exactly_the_transitions_of_the_domain(clean_database: str) -> None:
    allowed: set[tuple[Status, Status]] = set()
    with psycopg.connect(clean_database, autocommit=True) as connection:
        for was in Status:
            for wanted in Status:
                if was is not wanted and _database_allows(connection, was, wanted):
                    allowed.add((was, wanted))

    assert allowed == {(was, wanted) for was, targets in TRANSITIONS.items() for wanted in targets}


def _database_allows(connection: psycopg.Connection, was: Status, wanted: Status) -> bool:
    driver = {Status.DISPATCHED: "'ana'", Status.DELIVERED: "'ana'"}
    reason = {Status.MANUAL_DISPATCH: "'no_driver'"}
    with connection.transaction(force_rollback=True):
        statement = (
            "insert into orders (id, price, tax, final_price, status, driver_id, reason)"
            f" values ('o', 1, 0, 1, '{was}', {driver.get(was, 'null')}, {reason.get(was, 'null')})"
        )
        connection.execute(statement.encode())
        try:
            connection.execute(
                f"update orders set version = 2, status = '{wanted}', driver_id = {driver.get(wanted, 'null')},"
                f" reason = {reason.get(wanted, 'null')}".encode()
            )
        except psycopg.errors.CheckViolation:
            return False
    return True


def test_every_query_is_used() -> None:
    users = [ROOT / "gofleet/adapters/postgres", ROOT / "gofleet/verification"]
    code = "\n".join(path.read_text(encoding="utf-8") for place in users for path in place.glob("*.py"))
    for file in sorted((shipped("sql") / "queries").glob("*.sql")):
        for name in Queries(file.stem).statements:
            assert re.search(rf"\b{file.stem.upper()}\.{name}\b", code), f"{file.name}: {name}"


def test_an_unknown_query_fails_with_its_file() -> None:
    with pytest.raises(AttributeError, match=r"sql/queries/orders.sql has no query named nonsense"):
        _ = Queries("orders").nonsense


def test_no_module_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if GENERATED not in str(path) and (lines := path.read_text(encoding="utf-8").count("\n")) > LINES_MAX
    }

    assert long == {}


def test_imports_have_no_cycle() -> None:
    """Of all imports of a module, those for annotations included; commands of the CLI import inside functions."""
    assert _cycle({_module(path): _imports(path) for path in SOURCES if GENERATED not in str(path)}) is None


def test_a_cycle_is_found() -> None:
    assert _cycle({"gofleet.a": {"gofleet.b"}, "gofleet.b": {"gofleet.a"}}) is not None


def _cycle(graph: dict[str, set[str]]) -> list[str] | None:
    """Modules that import each other, the first one again at the end; None if there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> set[str]:
    """The project's modules that the module imports, at its top level or for annotations."""
    found = set[str]()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Import():
                found |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                found |= {
                    f"{module}.{alias.name}" if _is_module(f"{module}.{alias.name}") else module for alias in node.names
                }
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                pass
            case _:
                waiting += ast.iter_child_nodes(node)
    return {name for name in found if name.split(".")[0] == "gofleet"}


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_production_code_does_not_import_the_memory_adapters() -> None:
    importers = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "testing" not in path.relative_to(ROOT).parts
        and re.search(r"^\s*(?:from|import) gofleet\.testing\b", path.read_text(encoding="utf-8"), re.M)
    ]

    assert importers == []


def test_no_module_has_a_name_without_meaning() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "impl", "service", "misc"}

    assert [str(path) for path in SOURCES if path.stem in empty or path.parent.name in empty] == []


def test_sql_is_never_built_from_values() -> None:
    """An f-string passed to execute() may contain constants only; the one exception is the NOTIFY channel."""
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


@pytest.mark.parametrize("command", ["--help", "run --help", "demo --help"])
def test_help_comes_without_a_web_framework(command: str) -> None:
    code = (
        "import sys; sys.argv = ['gofleet', *" + repr(command.split()) + "]\n"
        "from gofleet.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('LITESTAR' if 'litestar' in sys.modules else 'LIGHT')"
    )

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert output.splitlines()[-1] == "LIGHT"
    assert "Usage" in output
