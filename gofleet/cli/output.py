"""Command output: a table for a terminal, or JSON lines for programs, always without control characters."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

from cyclopts import Parameter

from gofleet.cli.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, Parameter(help="Print one JSON object per line.", negative="")]
JsonObject = dict[str, Any]
WIDTH_MAX = 1000
"""Columns of a table that is not written to a terminal, for example to grep."""


class Cell(NamedTuple):
    """A text of a table, with a style of rich."""

    text: str
    style: str = ""


def print_items(items: list[JsonObject], columns: Mapping[str, str], *, json: bool, more: bool = False) -> None:
    """Print a table of the columns (field -> title), or each whole item as a line of JSON."""
    if json:
        for item in items:
            print_json(item)
        return
    rows = ([format_value(item.get(name)) for name in columns] for item in items)
    print_table(list(columns.values()), rows, caption="there are more: --limit" if more else None)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str | Cell]], **options: Any) -> None:
    """Print a table of untrusted texts; a cell may have a style. `options` are those of `rich.table.Table`."""
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(title, overflow="fold") for title in titles), **options)  # ids must not be truncated
    for row in rows:
        cells = (cell if isinstance(cell, Cell) else Cell(cell) for cell in row)
        # Text, because values are not markup.
        table.add_row(*(Text(printable(cell.text), cell.style) for cell in cells))
    console().print(table)


def print_item(item: JsonObject, *, json: bool) -> None:
    """Print all fields of one item, one per row, or the item as a line of JSON."""
    rows: list[JsonObject] = [item] if json else [{"field": name, "value": value} for name, value in item.items()]
    print_items(rows, {"field": "field", "value": "value"}, json=json)


def print_json(item: JsonObject) -> None:
    """Print the item as one line of JSON and flush. Characters that are not printable are escaped."""
    import msgspec

    text = msgspec.json.encode(item).decode()
    print("".join(char if char.isprintable() else _escape(char) for char in text), flush=True)


def format_value(value: object) -> str:
    """A JSON value as text."""
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(
                f"{printable(name)} {format_value(inner)}" for name, inner in cast("JsonObject", value).items()
            )
        case list():
            return ", ".join(map(format_value, cast("list[object]", value)))
        case _:
            return printable(value)


def console() -> Console:
    """As wide as the terminal or COLUMNS; otherwise WIDTH_MAX."""
    from rich.console import Console

    bounded = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if bounded else WIDTH_MAX)


def _escape(char: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(char.encode("utf-16-le")).cast("H"))
