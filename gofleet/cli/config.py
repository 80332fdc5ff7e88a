"""`gofleet config`: every setting, its value here, and where that came from; and whether all of them are right."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from gofleet.cli.errors import WRONG_CALL, Failure
from gofleet.cli.output import Json, say, show

if TYPE_CHECKING:
    from msgspec import Struct

    from gofleet.settings.load import Entry

COLUMNS = {"name": "setting", "value": "value", "source": "from", "about": "meaning"}
Role = Annotated[str, Parameter(help="Only what keeps these from starting: roles with commas between.")]
Markdown = Annotated[bool, Parameter(help="The table of the README: names, defaults, meanings.", negative="")]

app = App(name="config", help="Show the settings that hold here, or check them.")


@app.default
def config(*, json: Json = False, markdown: Markdown = False) -> None:
    """Show every setting with its value and its source, as `config show`."""
    if markdown:
        print(markdown_table())
    else:
        shown(json=json)


@app.command(name="show")
def shown(*, json: Json = False) -> None:
    """Show every setting with its value and its source; secrets stay hidden. Fails as `run` would on a wrong value."""
    from gofleet.settings.load import catalogue, load

    settings = load()
    rows = [
        {
            "name": entry.name,
            "value": value_of(entry, settings),
            "source": settings.sources.get(entry.name, ""),
            "about": entry.about,
        }
        for entry in catalogue()
    ]
    show(rows, COLUMNS, json=json)


@app.command
def check(*, role: Role = "all", json: Json = False) -> None:
    """Check every setting and name all that are wrong, each with where it comes from and what would be right; also what
    no single one is to blame for, and would keep those roles from starting, such as a password that everybody knows.

    Whether the servers behind them answer, `gofleet doctor` tells.
    """
    from gofleet.cli.run import chosen
    from gofleet.settings import check as wrongs
    from gofleet.settings import load, unsafe

    roles = chosen(role)
    found = wrongs() or list(unsafe(load(), roles))
    if json:
        rows = [{"what": wrong.what, "why": wrong.why, "fix": wrong.fix} for wrong in found]
        say({"ok": not found, "wrong": rows})
    elif not found:
        print("every setting is right")
    for wrong in [] if json else found:
        print(Failure(wrong.what, wrong.why, wrong.fix), file=sys.stderr)
    if found:
        sys.exit(WRONG_CALL)


def value_of(entry: Entry, settings: Struct) -> str:
    """For people; a secret that is set is masked."""
    value = getattr(getattr(settings, entry.group), entry.attribute)
    if entry.secret and value:
        return "(hidden)"
    return "" if value is None else str(value)


def markdown_table() -> str:
    """The settings as the README lists them, with the defaults of development."""
    from gofleet.settings.load import catalogue, load

    defaults = load({}, dotenv=None)
    rows = [f"| `{entry.name}` | {_code(_default(entry, defaults))} | {entry.about} |" for entry in catalogue()]
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])


def _default(entry: Entry, defaults: Struct) -> str:
    value = getattr(getattr(defaults, entry.group), entry.attribute)
    return "" if value is None else str(value)


def _code(text: str) -> str:
    return f"`{text}`" if text else "(empty)"
