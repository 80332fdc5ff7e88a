"""Statements as spans, under their names in sql/queries; their values are never looked at."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Self, cast

import psycopg
from psycopg import AsyncCursor
from psycopg.abc import Params, Query, QueryNoTemplate
from psycopg.rows import Row

from gofleet.adapters.postgres.queries import NAMES
from gofleet.domain.errors import Unavailable
from gofleet.telemetry.tracing import client_span, is_recording


def statement_span(statement: str) -> AbstractContextManager[object]:
    """A span around `statement`, or around the waiting for it together with others; none if it has no name."""
    name = NAMES.get(statement) if is_recording() else None
    return _UNSEEN if name is None else _asking(name)


_UNSEEN = nullcontext()  # nearly always: a generator for each statement costs more


@contextmanager
def _asking(name: str) -> Generator[None]:
    attributes = {"db.system.name": "postgresql", "db.query.summary": name}
    with client_span(name, **attributes) as current:
        try:
            yield
        except (psycopg.Error, Unavailable) as error:
            cause = error if isinstance(error, psycopg.Error) else error.__cause__
            if isinstance(cause, psycopg.Error):
                current.set_attribute("db.response.status_code", cause.sqlstate or "")
            raise


class TracingCursor(AsyncCursor[Row]):
    """What has no name there, such as a `notify`, is of no order and gets no span."""

    async def execute(
        self, query: Query, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        plain = cast("QueryNoTemplate", query)  # we use no others
        with statement_span(query if isinstance(query, str) else ""):
            return await super().execute(plain, params, prepare=prepare, binary=binary)
