"""How answers look: a table for people, a line of JSON for programs; nobody else's text reaches the terminal raw."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter

from gofleet.cli.errors import harmless

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, Parameter(help="One JSON object a line.", negative="")]
Item = dict[str, Any]
WIDEST = 1000
"""Columns of a table that nobody looks at, such as one for grep."""


def show(items: list[Item], columns: Mapping[str, str], *, json: bool, more: bool = False) -> None:
    """A table of these columns (field -> title), or each whole item as one line of JSON."""
    if json:
        for item in items:
            say(item)
        return
    from rich.table import Column, Table
    from rich.text import Text

    titles = [Column(title, overflow="fold") for title in columns.values()]  # half an id is no use to anybody
    table = Table(*titles, caption="there are more: --limit" if more else None)
    for item in items:
        table.add_row(*(Text(words(item.get(name))) for name in columns))  # Text: it is no markup
    console().print(table)


def show_one(item: Item, *, json: bool) -> None:
    """All fields of one item, a row each, or as one line of JSON."""
    rows: list[Item] = [item] if json else [{"field": name, "value": value} for name, value in item.items()]
    show(rows, {"field": "field", "value": "value"}, json=json)


def console() -> Console:
    """As wide as the terminal; in a pipe as wide as it takes, unless COLUMNS says something else."""
    from rich.console import Console

    bounded = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if bounded else WIDEST)


def say(item: Item) -> None:
    """The item as one line of JSON, at once. What a terminal might obey is escaped, which means the same in JSON."""
    import msgspec

    text = msgspec.json.encode(item).decode()
    print("".join(char if char.isprintable() else _escaped(char) for char in text), flush=True)


def words(value: object) -> str:
    """A value of an answer for people."""
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{harmless(name)} {words(each)}" for name, each in cast("Item", value).items())
        case list():
            return ", ".join(map(words, cast("list[object]", value)))
        case _:
            return harmless(value)


def _escaped(char: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(char.encode("utf-16-le")).cast("H"))
