"""`gofleet config`: shows every setting with its value and its source, and validates them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from gofleet.cli.errors import INVALID_USAGE, CliError
from gofleet.cli.output import Json, print_items, print_json

if TYPE_CHECKING:
    from msgspec import Struct

    from gofleet.settings.load import Entry

COLUMNS = {"name": "setting", "value": "value", "source": "from", "about": "meaning"}
Role = Annotated[str, Parameter(help="Only errors that prevent these roles from starting, separated by commas.")]
Markdown = Annotated[bool, Parameter(help="Print the reference table: names, defaults, meanings.", negative="")]

config_app = App(name="config", help="Show or validate the settings.")


@config_app.default
def config_command(*, json: Json = False, markdown: Markdown = False) -> None:
    """Show every setting with its value and its source, as `config show`."""
    if markdown:
        print(markdown_table())
    else:
        show_config_command(json=json)


@config_app.command(name="show")
def show_config_command(*, json: Json = False) -> None:
    """Show every setting with its value and its source; secrets are hidden. Fails as `run` does on an invalid value."""
    from gofleet.settings.load import catalogue, load

    settings = load()
    rows = [
        {
            "name": entry.name,
            "value": _masked_value(entry, settings),
            "source": settings.sources.get(entry.name, ""),
            "about": entry.about,
        }
        for entry in catalogue()
    ]
    print_items(rows, COLUMNS, json=json)


@config_app.command(name="check")
def check_config_command(*, role: Role = "all", json: Json = False) -> None:
    """Validate all settings and list every invalid one, with its source and the expected value.

    This includes combinations that would prevent the roles from starting, such as a well-known password in production.
    `gofleet doctor` checks the servers behind the settings.
    """
    from gofleet.cli.run import arm_failpoints, parse_roles
    from gofleet.settings import SettingsError, check, load, unsafe

    roles = parse_roles(role)
    if not (errors := check()):
        errors = list(unsafe(load(), roles))
        try:
            arm_failpoints(load())  # without effect here
        except SettingsError as error:
            errors.append(error)
    if json:
        rows = [{"what": error.what, "why": error.why, "fix": error.fix} for error in errors]
        print_json({"ok": not errors, "wrong": rows})
    elif not errors:
        print("all settings are valid")
    for error in [] if json else errors:
        print(CliError(error.what, error.why, error.fix), file=sys.stderr)
    if errors:
        sys.exit(INVALID_USAGE)


def markdown_table() -> str:
    """Reference table of the settings, with the defaults of development."""
    from gofleet.settings.load import catalogue, load

    defaults = load({}, dotenv=None)
    rows = [f"| `{entry.name}` | {_code(_value(entry, defaults))} | {entry.about} |" for entry in catalogue()]
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])


def _masked_value(entry: Entry, settings: Struct) -> str:
    value = _value(entry, settings)
    return "(hidden)" if entry.secret and value else value


def _value(entry: Entry, settings: Struct) -> str:
    value = getattr(getattr(settings, entry.group), entry.attribute)
    return "" if value is None else str(value)


def _code(text: str) -> str:
    return f"`{text}`" if text else "(empty)"
