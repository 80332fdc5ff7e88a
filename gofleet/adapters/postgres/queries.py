"""SQL lives in sql/queries; this finds each statement by its name."""

from __future__ import annotations

import re
from typing import LiteralString, cast

from gofleet.files import shipped

NAMES: dict[str, str] = {}
"""Statement -> its name, such as `orders.save`, for those who watch."""


class Queries:
    """The statements of one file, as attributes; a wrong name fails with the file's name."""

    def __init__(self, file: str) -> None:
        text = (shipped("sql") / "queries" / f"{file}.sql").read_text(encoding="utf-8")
        _, *parts = re.split(r"^-- name: (\w+)$", text, flags=re.M)
        self.file = file
        # Literal by construction: the text comes from our own files, never from a caller.
        self.statements: dict[str, LiteralString] = {
            name: cast("LiteralString", sql.strip()) for name, sql in zip(parts[::2], parts[1::2], strict=True)
        }
        NAMES.update((sql, f"{file}.{name}") for name, sql in self.statements.items())

    def __getattr__(self, name: str) -> LiteralString:
        if name not in self.statements:
            raise AttributeError(f"sql/queries/{self.file}.sql has no query named {name}")
        return self.statements[name]
