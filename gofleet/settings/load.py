"""Reads the settings: defaults by dynaconf, then `.env`, then the environment; one wrong value is an error."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import inspect

from gofleet.files import shipped
from gofleet.settings.checks import wrong_together
from gofleet.settings.group import SettingsError, SettingsGroup
from gofleet.settings.groups import Settings

DEFAULTS, DOTENV, ENVIRONMENT = "config/settings.toml", ".env", "the environment"
FILE = "_FILE"
TYPO_RATIO = 0.85
"""How similar a name in the environment and a setting's must be to be reported as a misspelling."""


@dataclass(frozen=True)
class Entry:
    """One setting as its group declares it: `about` is its help, `kind` its type in words."""

    name: str
    group: str
    attribute: str
    type: Any
    about: str
    kind: str
    secret: bool


def catalogue() -> list[Entry]:
    """Every setting, in the order of their groups."""
    return [
        _entry(group.name, field)
        for group in msgspec.structs.fields(Settings)
        if isinstance(group.type, type) and issubclass(group.type, SettingsGroup)
        for field in msgspec.structs.fields(group.type)
    ]


def load(environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
    """The effective settings; raises the first `SettingsError`."""
    settings, wrong = _read(environ, dotenv)
    if settings is None:
        raise wrong[0]
    return settings


def check(environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> list[SettingsError]:
    """Every error, not only the first one."""
    return _read(environ, dotenv)[1]


def secrets_of(settings: Settings) -> list[str]:
    """The values that must not appear in logs; a default, which is public, is none."""
    defaults = _files(settings.general.environment)
    secrets = [entry for entry in catalogue() if entry.secret]
    values = {entry.name: getattr(getattr(settings, entry.group), entry.attribute) for entry in secrets}
    return [value for name, value in values.items() if value and value != defaults.get(name)]


def _read(environ: Mapping[str, str] | None, dotenv: Path | None) -> tuple[Settings | None, list[SettingsError]]:
    """The settings, or else all errors."""
    environ = os.environ if environ is None else environ
    written = _dotenv(dotenv)
    files = _files(environ.get("GOFLEET_ENV") or written.get("GOFLEET_ENV") or "development")
    entries = catalogue()
    wrong = list(_unknown(entries, files, written, environ))
    environ, written = (
        _with_secrets(entries, values, source, wrong) for values, source in ((environ, ENVIRONMENT), (written, DOTENV))
    )
    groups: dict[str, dict[str, object]] = {}
    sources: dict[str, str] = {}
    for entry in entries:
        group = groups.setdefault(entry.group, {})
        for source, values in ((ENVIRONMENT, environ), (DOTENV, written), (DEFAULTS, files)):
            if entry.name not in values:
                continue
            sources[entry.name] = source
            try:
                group[entry.name] = _converted(entry, values[entry.name], source)
            except SettingsError as error:
                wrong.append(error)
            break
    if wrong:
        return None, wrong
    settings = msgspec.convert({**groups, "sources": sources}, Settings)
    wrong = list(wrong_together(settings))
    return (None, wrong) if wrong else (settings, [])


def _entry(group: str, field: msgspec.structs.FieldInfo) -> Entry:
    declared = inspect.type_info(field.type)
    extra, schema = cast("dict[str, object]", {}), cast("dict[str, object]", {})
    if isinstance(declared, inspect.Metadata):
        extra = cast("dict[str, object]", declared.extra or {})  # pyright: ignore[reportUnknownMemberType]
        schema = cast("dict[str, object]", declared.extra_json_schema or {})  # pyright: ignore[reportUnknownMemberType]
    about = str(schema.get("description", ""))
    return Entry(field.encode_name, group, field.name, field.type, about, _words(field.type), bool(extra.get("secret")))


def _words(type: Any) -> str:
    schema = msgspec.json.schema(type)
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    words = {"integer": "a whole number", "number": "a number", "string": "text", "null": "empty"}
    kinds = [schema] if "type" in schema else schema.get("anyOf", [])
    text = " or ".join(words[kind["type"]] for kind in kinds)
    bounds = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="))
    return text + "".join(f", {sign} {schema[key]:g}" for key, sign in bounds if key in schema)


def _files(environment: str) -> dict[str, object]:
    # dynaconf is used here and in _dotenv only, and imported when settings are read.
    from dynaconf import Dynaconf  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]
    from dynaconf.loaders.base import SourceMetadata  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]

    read = Dynaconf(
        settings_files=[str(shipped("config") / "settings.toml")],
        environments=True,
        env=environment.lower(),
        loaders=[],  # the environment is read below, as it is written: dynaconf would parse its values as TOML
    )
    # Its keys() hold dynaconf's own settings too; what came from files it keeps apart, file by file.
    loaded = cast("dict[SourceMetadata, dict[str, object]]", read.loaded_by_loaders)
    values = {name: read.get(name) for source, names in loaded.items() if source.loader == "toml" for name in names}
    return {**values, "GOFLEET_ENV": environment}


def _dotenv(path: Path | None) -> dict[str, str]:
    if path is None or not path.is_file():
        return {}
    from dynaconf.vendor.dotenv import (  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]
        dotenv_values,  # pyright: ignore[reportUnknownVariableType]
    )

    values = cast("dict[str, str | None]", dotenv_values(str(path), interpolate=False))
    return {name: value for name, value in values.items() if value is not None}


def _with_secrets(
    entries: list[Entry], values: Mapping[str, str], source: str, wrong: list[SettingsError]
) -> Mapping[str, str]:
    """`values` with the content of `<name>_FILE` for each secret that has one, without the line end."""
    found = dict(values)
    for entry in entries:
        if not entry.secret or not (path := values.get(f"{entry.name}{FILE}")):
            continue
        if entry.name in values:
            fix = "leave one of them out"
            wrong.append(SettingsError(f"{entry.name} is set twice", f"{entry.name}{FILE} is set, too ({source})", fix))
            continue
        try:
            found[entry.name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            wrong.append(
                SettingsError(f"{entry.name}{FILE} is wrong", f"{path!r}: {why}", "name a file that holds the secret")
            )
    return found


def _unknown(
    entries: list[Entry], files: Mapping[str, object], written: Mapping[str, str], environ: Mapping[str, str]
) -> Iterator[SettingsError]:
    known = [entry.name for entry in entries]
    known += [f"{entry.name}{FILE}" for entry in entries if entry.secret]
    for name in files:
        if name not in known:
            yield SettingsError(f"unknown setting {name}", f"found in {DEFAULTS}", _nearest(name, known))
    # Full of other programs' names, Compose's in `.env`, too: so only a near miss is taken for ours.
    for source, names in ((DOTENV, written), (ENVIRONMENT, environ)):
        for name in names:
            near = difflib.get_close_matches(name, known, n=1, cutoff=TYPO_RATIO)
            if near and name not in known and abs(len(near[0]) - len(name)) <= 1:
                why = f"found in {source}, and no setting of that name exists"
                yield SettingsError(f"unknown setting {name}", why, f"did you mean {near[0]}?")


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else "`gofleet config` lists the settings"


def _converted(entry: Entry, value: object, source: str) -> object:
    if value == "" and "empty" in entry.kind:
        return None
    try:
        return msgspec.convert(value, entry.type, strict=False)
    except msgspec.ValidationError as error:
        shown = "(hidden)" if entry.secret else repr(value)
        raise SettingsError(f"{entry.name} is wrong", f"{shown} from {source}", f"it must be {entry.kind}") from error
