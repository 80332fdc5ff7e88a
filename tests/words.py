"""Checker of the project's vocabulary: retired words in names and prose, and public names defined twice.

`python -m tests.words [PATH ...]` lists what it finds, `file:line: word -> replacement`; without a path it reads the
product, its tests and its documents. The rows and the exceptions are in tests/words.toml.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "words.toml"
GENERATED = ("gofleet/adapters/grpc/pb/*",)
DOCUMENTS = ("*.md", "justfile", "compose.yaml", "Dockerfile", "config/**/*", "sql/queries/*.sql", "proto/*.proto")
CHECKER = ("tests/words.py", "tests/test_words.py")
UNREAD = ("*.venv/*", "*/node_modules/*", "*/.git/*", "*/dist/*")


@dataclass(frozen=True, slots=True)
class Row:
    """One retired word: a pattern for names or for prose, and what to write instead."""

    kind: Literal["name", "prose"]
    pattern: re.Pattern[str]
    replacement: str


@dataclass(frozen=True, slots=True)
class Exemption:
    """One allowed use: a path (glob), the text that is found there, and the reason."""

    path: str
    found: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A retired word at a place."""

    path: str
    line: int
    found: str
    replacement: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found!r} -> {self.replacement}"


@cache
def rows() -> list[Row]:
    """The rows of the table. Name patterns match whole words of a name (`_` and capitals separate them)."""
    read = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    names = [
        Row("name", re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])"), replacement)
        for pattern, replacement in read["name"].items()
    ]
    prose = [
        Row("prose", re.compile(rf"(?<![\w`-])(?:{pattern})(?![\w`])", re.IGNORECASE), replacement)
        for pattern, replacement in read["prose"].items()
    ]
    return names + prose


@cache
def exemptions() -> list[Exemption]:
    """The exceptions of the table, each with its reason."""
    return [Exemption(**each) for each in tomllib.loads(TABLE.read_text(encoding="utf-8")).get("exception", [])]


def sources(root: Path = ROOT) -> list[Path]:
    """The product's modules, without generated code."""
    every = sorted((root / "gofleet").rglob("*.py"))
    return [path for path in every if not _matches(path.relative_to(root), GENERATED)]


def suite(root: Path = ROOT) -> list[Path]:
    """The tests' modules, without this checker, which has to contain retired words."""
    every = sorted((root / "tests").rglob("*.py"))
    return [path for path in every if not _matches(path.relative_to(root), CHECKER)]


def documents(root: Path = ROOT) -> list[Path]:
    """Pages, recipes, deployment files and the comments of SQL."""
    found = {path for pattern in DOCUMENTS for path in root.rglob(pattern) if path.is_file()}
    return sorted(path for path in found if not _matches(path.relative_to(root), UNREAD))


def check(paths: Iterable[Path], root: Path = ROOT) -> list[Finding]:
    """Every retired word in these files that no exception allows."""
    return [
        finding
        for path in paths
        for finding in _check_file(path, root)
        if not any(_allows(each, finding) for each in exemptions())
    ]


def check_text(text: str, path: str) -> list[Finding]:
    """Every retired word of one file, whose kind follows from its suffix."""
    if path.endswith(".py"):
        nodes = list(ast.walk(ast.parse(text)))
        return [*_names(nodes, path), *_prose(_python_prose(text, nodes), path)]
    return list(_prose(_document_prose(text, Path(path).suffix), path))


def unused_exemptions(paths: Iterable[Path], root: Path = ROOT) -> list[Exemption]:
    """The exceptions that nothing needs any more."""
    listed = list(paths)
    findings = [finding for path in listed for finding in _check_file(path, root)]
    twice = _defined_twice([path for path in listed if path.suffix == ".py"], root)
    return [
        each
        for each in exemptions()
        if each.found not in twice and not any(_allows(each, finding) for finding in findings)
    ]


def duplicates(paths: Iterable[Path], root: Path = ROOT) -> dict[str, list[str]]:
    """Public classes and functions that two modules or more define, with the modules; without the exceptions."""
    allowed = {each.found for each in exemptions()}
    return {name: modules for name, modules in _defined_twice(paths, root).items() if name not in allowed}


@cache
def _check_file(path: Path, root: Path) -> list[Finding]:
    return check_text(path.read_text(encoding="utf-8"), str(path.relative_to(root)))


def _allows(exemption: Exemption, finding: Finding) -> bool:
    return fnmatch(finding.path, exemption.path) and exemption.found == finding.found


def _defined_twice(paths: Iterable[Path], root: Path) -> dict[str, list[str]]:
    places = defaultdict[str, list[str]](list)
    for path in paths:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
                places[node.name].append(str(path.relative_to(root)))
    return {name: modules for name, modules in sorted(places.items()) if len(modules) > 1}


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    return any(fnmatch(str(path), pattern) or fnmatch(f"/{path}", pattern) for pattern in patterns)


def _names(nodes: Iterable[ast.AST], path: str) -> Iterator[Finding]:
    for line, name in [(1, Path(path).stem), *_defined(nodes)]:
        for row in _rows_of_name(name):
            yield Finding(path, line, name, row.replacement)


@cache
def _rows_of_name(name: str) -> list[Row]:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return [row for row in rows() if row.kind == "name" and (row.pattern.search(name) or row.pattern.search(snake))]


def _defined(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Names that the module gives: functions, classes, parameters, variables, attributes, import aliases."""
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.alias(asname=str(name)):
                yield node.lineno, name
            case _:
                pass


def _python_prose(text: str, nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Comments, docstrings and every other literal of two words or more, line by line."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            for number, line in enumerate(node.value.split("\n")):
                yield node.lineno + number, line


def _document_prose(text: str, suffix: str) -> Iterator[tuple[int, str]]:
    """The lines of a document; of a page without its code, of SQL and protobuf only the comments."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if suffix == ".md":
            if line.startswith("```"):
                fenced = not fenced
            elif not fenced:
                yield number, re.sub(r"`[^`]*`|\]\([^)]*\)", " ", line)
        elif suffix == ".sql":
            yield number, line.partition("--")[2]
        elif suffix == ".proto":
            yield number, line.partition("//")[2]
        else:
            yield number, line


def _prose(numbered: Iterable[tuple[int, str]], path: str) -> Iterator[Finding]:
    lines = list(numbered)
    whole = "\n".join(line for _, line in lines)
    for row in rows():
        if row.kind == "prose" and row.pattern.search(whole):  # one search instead of one for each line
            for number, line in lines:
                if found := row.pattern.search(line):
                    yield Finding(path, number, found[0], row.replacement)


def main(arguments: list[str]) -> int:
    """Lists the findings; 1 if there are any."""
    chosen = [Path(each).resolve() for each in arguments] or [ROOT]
    paths = [path for path in (*sources(), *suite(), *documents()) if any(path.is_relative_to(each) for each in chosen)]
    findings = sorted(set(check(paths)), key=lambda each: (each.path, each.line))
    twice = {
        name: places
        for name, places in duplicates(sources()).items()
        if any((ROOT / place).is_relative_to(each) for place in places for each in chosen)
    }
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    for name, places in twice.items():
        sys.stdout.write(f"{name}: defined in {', '.join(places)}\n")
    sys.stderr.write(f"{len(findings)} retired words, {len(twice)} public names in two modules\n")
    return 1 if findings or twice else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
