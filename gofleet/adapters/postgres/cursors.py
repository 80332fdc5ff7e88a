"""Statements as spans, under their names in sql/queries; their values are never looked at."""

from __future__ import annotations

from typing import Self, cast

import psycopg
from psycopg import AsyncCursor
from psycopg.abc import Params, Query, QueryNoTemplate
from psycopg.rows import Row

from gofleet.adapters.postgres.queries import NAMES
from gofleet.telemetry.tracing import recorded, step


class NamedCursor(AsyncCursor[Row]):
    """What has no name there, such as a `notify`, is of no order and gets no span."""

    async def execute(
        self, query: Query, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        plain = cast("QueryNoTemplate", query)  # we use no others
        if not recorded() or not isinstance(query, str) or not (name := NAMES.get(query)):
            return await super().execute(plain, params, prepare=prepare, binary=binary)
        attributes = {"db.system.name": "postgresql", "db.query.summary": name}
        with step(name, **attributes) as current:
            try:
                return await super().execute(plain, params, prepare=prepare, binary=binary)
            except psycopg.Error as error:
                current.set_attribute("db.response.status_code", error.sqlstate or "")
                raise
