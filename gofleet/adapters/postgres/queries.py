"""Named SQL statements from sql/queries, and their spans in traces."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import LiteralString, Self, cast

import psycopg
from psycopg import AsyncCursor
from psycopg.abc import Params, Query, QueryNoTemplate
from psycopg.rows import Row

from gofleet.domain.errors import Unavailable
from gofleet.files import shipped
from gofleet.telemetry.tracing import client_span, is_recording

NAMES: dict[str, str] = {}
"""The name of each loaded statement by its text, such as `orders.save`; spans are named by it."""


class Queries:
    """The statements of one file of sql/queries, as attributes. `AttributeError` for a name that the file lacks.

    `-- name: x` begins a statement. `-- fragment: x` begins a part that the statements below it include as `{x}`.
    """

    def __init__(self, file: str) -> None:
        text = (shipped("sql") / "queries" / f"{file}.sql").read_text(encoding="utf-8")
        _, *parts = re.split(r"^-- (name|fragment): (\w+)$", text, flags=re.M)
        fragments: dict[str, str] = {}
        self.file = file
        self.statements: dict[str, LiteralString] = {}
        for kind, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            sql = re.sub(r"\{(\w+)\}", lambda include: fragments[include[1]], body.strip())
            if kind == "fragment":
                fragments[name] = sql
            else:  # literal by construction: the text comes from GoFleet's own files, never from a caller
                self.statements[name] = cast("LiteralString", sql)
        NAMES.update((sql, f"{file}.{name}") for name, sql in self.statements.items())

    def __getattr__(self, name: str) -> LiteralString:
        if name not in self.statements:
            raise AttributeError(f"sql/queries/{self.file}.sql has no query named {name}")
        return self.statements[name]


def statement_span(statement: str) -> AbstractContextManager[object]:
    """A client span for `statement` or for the wait for the batch that contains it; none for an unnamed statement, nor
    outside a recorded trace. Parameters are never recorded."""
    name = NAMES.get(statement) if is_recording() else None
    return _NO_SPAN if name is None else _statement_span(name)


class TracingCursor(AsyncCursor[Row]):
    """A cursor that runs each named statement in a span. Unnamed ones, such as `NOTIFY`, concern no order."""

    async def execute(
        self, query: Query, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        plain = cast("QueryNoTemplate", query)  # GoFleet uses no template strings
        with statement_span(query if isinstance(query, str) else ""):
            return await super().execute(plain, params, prepare=prepare, binary=binary)


_NO_SPAN = nullcontext()  # the usual case, and a generator for each statement costs more


@contextmanager
def _statement_span(name: str) -> Generator[None]:
    attributes = {"db.system.name": "postgresql", "db.query.summary": name}
    with client_span(name, **attributes) as span:
        try:
            yield
        except (psycopg.Error, Unavailable) as error:
            cause = error if isinstance(error, psycopg.Error) else error.__cause__
            if isinstance(cause, psycopg.Error):
                span.set_attribute("db.response.status_code", cause.sqlstate or "")
            raise
