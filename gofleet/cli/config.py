"""`gofleet config`: every setting, its value here, and where that came from."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from gofleet.settings.load import Entry, catalogue, load


def config(
    *,
    json: Annotated[bool, Parameter(help="One JSON object for each setting and line.")] = False,
    markdown: Annotated[bool, Parameter(help="The table of the README: names, defaults, meanings.")] = False,
) -> None:
    """Show every setting with its value and its source; secrets stay hidden. Fails as `run` would on a wrong value."""
    if markdown:
        print(markdown_table())
        return
    settings = load()
    rows = [(entry, shown(entry, settings), settings.sources.get(entry.name, "")) for entry in catalogue()]
    if json:
        for entry, value, source in rows:
            said = {"name": entry.name, "value": value, "source": source, "about": entry.about}
            print(msgspec.json.encode(said).decode())
        return
    table = Table("setting", "value", "from", "meaning")
    for entry, value, source in rows:
        table.add_row(entry.name, value, source, entry.about)
    Console().print(table)


def shown(entry: Entry, settings: msgspec.Struct) -> str:
    value = getattr(getattr(settings, entry.group), entry.attribute)
    if entry.secret and value:
        return "(hidden)"
    return "" if value is None else str(value)


def markdown_table() -> str:
    """The settings as the README lists them, with the defaults of development."""
    defaults = load({}, dotenv=None)
    rows = [f"| `{entry.name}` | {_code(_default(entry, defaults))} | {entry.about} |" for entry in catalogue()]
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])


def _default(entry: Entry, defaults: msgspec.Struct) -> str:
    value = getattr(getattr(defaults, entry.group), entry.attribute)
    return "" if value is None else str(value)


def _code(text: str) -> str:
    return f"`{text}`" if text else "(empty)"
