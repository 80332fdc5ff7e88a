"""Command output: a table for a terminal, or JSON lines for programs, always without control characters."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

from cyclopts import Parameter

from gofleet.cli.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, Parameter(help="Print one JSON object per line.", negative="")]
JsonObject = dict[str, Any]
WIDTH_MAX = 1000
"""Columns of a table that is not written to a terminal, for example to grep."""
WRAPPED = frozenset({"about", "detail", "error", "name", "position", "reason", "source", "value"})
"""Fields whose values may be broken into lines."""
WRAPPED_WIDTH_MIN = 10
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Cell(NamedTuple):
    """A text of a table, with a style of rich."""

    text: str
    style: str = ""


def print_items(
    items: list[JsonObject], columns: Mapping[str, str], *, json: bool, more: bool = False, more_by: str = "--limit"
) -> None:
    """Print a table of the columns (field -> title), or each whole item as a line of JSON.

    The columns are in the order of their importance: the last ones are left out of a terminal that is too narrow. With
    `more` it says that there are more items and how to see them, for JSON on standard error.
    """
    hint = f"there are more: {more_by}" if more else ""
    if json:
        for item in items:
            print_json(item)
        if hint:
            print(hint, file=sys.stderr)
        return
    rows = [[format_field(name, item.get(name)) for name in columns] for item in items]
    titles, wrapped = list(columns.values()), {title for name, title in columns.items() if name in WRAPPED}
    fitting = len(titles)
    while fitting > 1 and _width_min(titles[:fitting], rows, wrapped) > console().width:
        fitting -= 1
    left_out = f"left out: {', '.join(titles[fitting:])}; see --json" if titles[fitting:] else ""
    caption = "\n".join(filter(None, [hint, left_out]))
    print_table(titles[:fitting], [row[:fitting] for row in rows], wrapped=wrapped, caption=caption or None)


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[str | Cell]], *, wrapped: Collection[str] = (), **options: Any
) -> None:
    """Print a table of untrusted texts; a cell may have a style. `options` are those of `rich.table.Table`.

    Only the `wrapped` columns, by default the last one, are broken into lines: an id or a time must stay whole to be
    copied. So the table may be wider than the terminal.
    """
    from rich.table import Column, Table
    from rich.text import Text

    wrapped = wrapped or titles[-1:]
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    table = Table(*(Column(title, overflow="fold", no_wrap=title not in wrapped) for title in titles), **options)
    for row in cells:
        # Text, because values are not markup.
        table.add_row(*(Text(printable(cell.text), cell.style) for cell in row))
    output = console()
    output.width = max(output.width, _width_min(titles, [[cell.text for cell in row] for row in cells], wrapped))
    output.print(table)


def print_item(item: JsonObject, *, json: bool) -> None:
    """Print all fields of one item, one per row, or the item as a line of JSON."""
    rows: list[JsonObject] = [item]
    if not json:
        rows = [{"field": name, "value": format_field(name, value)} for name, value in item.items()]
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
                f"{printable(name)} {format_field(name, inner)}" for name, inner in cast("JsonObject", value).items()
            )
        case list():
            return ", ".join(map(format_value, cast("list[object]", value)))
        case _:
            return printable(value)


def format_field(name: str, value: object) -> str:
    """The value of a field as text: a time relative to now, or to the second (UTC) if it is the `at` of an event."""
    if not isinstance(value, str) or (name != "at" and not name.endswith(("_at", "_since"))):
        return format_value(value)
    try:
        at = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return format_value(value)
    if name == "at":
        return f"{at:%Y-%m-%d %H:%M:%SZ}"
    text = _relative((datetime.now(UTC) - at).total_seconds())
    return text.removesuffix(" ago") if name.endswith("_since") else text


def console() -> Console:
    """As wide as the terminal or COLUMNS; otherwise WIDTH_MAX."""
    from rich.console import Console

    bounded = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if bounded else WIDTH_MAX)


def _relative(seconds: float) -> str:
    unit_seconds, unit = next(each for each in UNITS if abs(seconds) >= 2 * each[0] or each[0] == 1)
    count = int(abs(seconds) / unit_seconds)
    return f"{count} {unit} ago" if seconds >= 0 or not count else f"in {count} {unit}"


def _width_min(titles: Sequence[str], rows: Sequence[Sequence[str]], wrapped: Collection[str]) -> int:
    """Columns that a table needs if nothing but the `wrapped` columns is broken, with three for each border."""
    from rich.cells import cell_len

    texts = [[title, *(row[column] for row in rows)] for column, title in enumerate(titles)]
    widths = [max(cell_len(line) for text in column for line in text.split("\n")) for column in texts]
    return 1 + sum(
        3 + (min(width, WRAPPED_WIDTH_MIN) if title in wrapped else width)
        for title, width in zip(titles, widths, strict=True)
    )


def _escape(char: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(char.encode("utf-16-le")).cast("H"))
