"""Reads the settings: files by dynaconf, then `.env`, then the environment; one wrong value stops the start."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from dynaconf import Dynaconf  # pyright: ignore[reportMissingTypeStubs]
from dynaconf.loaders.base import SourceMetadata  # pyright: ignore[reportMissingTypeStubs]
from dynaconf.vendor.dotenv import (
    dotenv_values,  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
)
from msgspec import inspect

from gofleet.files import shipped
from gofleet.settings.group import Group
from gofleet.settings.groups import Settings

DEFAULTS, DOTENV, ENVIRONMENT = "config/settings.toml", ".env", "the environment"
FILE = "_FILE"
TYPO_RATIO = 0.85
"""How alike a name in the environment and a setting's must be to be taken for a slip of the finger."""


class SettingsError(Exception):
    """What is wrong, why (value and where it came from), and what would be right."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(f"{what}: {why}; {fix}")
        self.what, self.why, self.fix = what, why, fix


@dataclass(frozen=True)
class Entry:
    """One setting as its group declares it: `about` is its meaning, `kind` its type in words."""

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
        if isinstance(group.type, type) and issubclass(group.type, Group)
        for field in msgspec.structs.fields(group.type)
    ]


def load(environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
    """The settings that hold here; `SettingsError` names the first thing that is wrong."""
    settings, wrong = _read(environ, dotenv)
    if settings is None:
        raise wrong[0]
    return settings


def check(environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> list[SettingsError]:
    """Everything that is wrong, not only the first thing."""
    return _read(environ, dotenv)[1]


def secrets_of(settings: Settings) -> list[str]:
    """The values that nobody may read in a log; a default, which stands in the repository, is none."""
    defaults = _files(settings.general.environment)
    secrets = [entry for entry in catalogue() if entry.secret]
    values = {entry.name: getattr(getattr(settings, entry.group), entry.attribute) for entry in secrets}
    return [value for name, value in values.items() if value and value != defaults.get(name)]


def _read(environ: Mapping[str, str] | None, dotenv: Path | None) -> tuple[Settings | None, list[SettingsError]]:
    """The settings, or else all that is wrong with them."""
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
    wrong = list(_wrong_together(settings))
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
    said = " or ".join(words[kind["type"]] for kind in kinds)
    bounds = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="))
    return said + "".join(f", {sign} {schema[key]:g}" for key, sign in bounds if key in schema)


def _files(environment: str) -> dict[str, object]:
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
    values = cast("dict[str, str | None]", dotenv_values(str(path), interpolate=False))
    return {name: value for name, value in values.items() if value is not None}


def _with_secrets(
    entries: list[Entry], values: Mapping[str, str], source: str, wrong: list[SettingsError]
) -> Mapping[str, str]:
    """Those values, and of each secret that has a `<name>_FILE` what stands in that file, but for the line's end."""
    found = dict(values)
    for entry in entries:
        if not entry.secret or not (path := values.get(f"{entry.name}{FILE}")):
            continue
        if entry.name in values:
            fix = "leave one of them out"
            wrong.append(
                SettingsError(f"{entry.name} is there twice", f"{entry.name}{FILE} is set, too ({source})", fix)
            )
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
    for source, names in ((DEFAULTS, files), (DOTENV, written)):
        for name in names:
            if name not in known:
                yield SettingsError(f"unknown setting {name}", f"found in {source}", _nearest(name, known))
    for name in environ:  # full of other programs' names, so only a near miss is taken for ours
        near = difflib.get_close_matches(name, known, n=1, cutoff=TYPO_RATIO)
        if near and name not in known and abs(len(near[0]) - len(name)) <= 1:
            why = f"found in {ENVIRONMENT}, and no setting of that name exists"
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


def _wrong_together(settings: Settings) -> Iterator[SettingsError]:
    """What no single value shows."""
    worker, fleet = settings.worker, settings.fleet
    yield from _demand(
        worker.lease_seconds > worker.deadline_seconds,
        "WORKER_LEASE_SECONDS is wrong",
        f"{worker.lease_seconds:g} is not more than WORKER_DEADLINE_SECONDS = {worker.deadline_seconds:g}",
        "a lease must outlive the try that it protects",
    )
    yield from _demand(
        worker.prefetch >= worker.concurrency,
        "WORKER_PREFETCH is wrong",
        f"{worker.prefetch} is less than WORKER_CONCURRENCY = {worker.concurrency}",
        "twice the concurrency is a good value",
    )
    yield from _demand(
        settings.postgres.answer_timeout_seconds * 1000 > settings.postgres.statement_timeout_ms,
        "DB_ANSWER_TIMEOUT_SECONDS is wrong",
        f"{settings.postgres.answer_timeout_seconds:g} s is not more than DB_STATEMENT_TIMEOUT_MS",
        "the server ends a long statement by itself, and must have the time to",
    )
    yield from _demand(
        settings.relay.inbox_keep_days >= settings.relay.outbox_keep_days,
        "INBOX_KEEP_DAYS is wrong",
        f"{settings.relay.inbox_keep_days:g} is less than OUTBOX_KEEP_DAYS = {settings.relay.outbox_keep_days:g}",
        "an event that can still be published must be known to have been handled",
    )
    yield from _demand(
        (fleet.depot_lat is None) == (fleet.depot_lng is None),
        "half a depot",
        "only one of DEPOT_LAT and DEPOT_LNG is set",
        "set both or neither",
    )
    tls = (fleet.tls_authority, fleet.tls_certificate, fleet.tls_key)
    yield from _demand(
        all(tls) or not any(tls),
        "TLS for gRPC is half set",
        "of GRPC_TLS_CA, GRPC_TLS_CERT and GRPC_TLS_KEY some are set and some are empty",
        "set all three or none; `gofleet certs` makes some for development",
    )
    try:
        _ = settings.auth.proxies
    except ValueError as error:
        yield SettingsError(
            "TRUSTED_PROXIES is wrong", str(error), "it must be addresses or networks, such as 10.0.0.0/8"
        )
    try:
        tiers = settings.broker.tiers
    except ValueError:
        tiers = ()
    yield from _demand(
        bool(tiers) and all(tier > 0 for tier in tiers),
        "RETRY_TIERS_SECONDS is wrong",
        f"{settings.broker.retry_tiers_seconds!r} from {settings.sources['RETRY_TIERS_SECONDS']}",
        "it must be whole seconds with commas between, such as 1,5,30,120",
    )


def _demand(holds: bool, what: str, why: str, fix: str) -> Iterator[SettingsError]:
    if not holds:
        yield SettingsError(what, why, fix)
