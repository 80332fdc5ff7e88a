"""The chart's schema of its `settings`, as gofleet/settings declares them: names, kinds and bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import msgspec

from gofleet.settings.load import Entry, catalogue

CHART = Path(__file__).resolve().parents[2] / "config/chart"
FIXED = ("FLEET_HOST", "WEB_SERVER_PORT", "GRPC_PORT", "METRICS_PORT")
"""What the chart itself sets in every pod."""
WITHHELD = ("WEB_SERVER_HOST", "GRPC_HOST", "METRICS_HOST", "OTEL_SERVICE_NAME", "GOFLEET_FAILPOINTS")
"""What nobody needs to set in a pod: addresses to listen on, one name for all roles, and ways to die."""
REQUIRED = (
    "BROKER",
    "GRACE_SECONDS",
    "DB_HOST",
    "DB_PORT",
    "RABBITMQ_HOST",
    "AMQP_PORT",
    "RABBITMQ_VHOST",
    "REDIS_PORT",
)
"""What templates read, so that it must not be taken away with a null."""
EVERYBODYS = (
    *REQUIRED,
    "GOFLEET_ENV",
    "NAME_PREFIX",
    "AUTH",
    "AUTH_ISSUER",
    "AUTH_KEYS_URL",
    "LIMITS",
    "RABBITMQ_TLS",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
"""What no role has another of: the roles would miss each other, or templates read it for all of them."""


def settings_schema() -> dict[str, Any]:
    """What may stand in `settings`."""
    return {
        "description": "Written by `just chart` from gofleet/settings.",
        "type": "object",
        "additionalProperties": False,
        "required": list(REQUIRED),
        "properties": {entry.name: _schema(entry) for entry in _offered()},
    }


def own_settings_schema() -> dict[str, Any]:
    """What may stand in the `settings` of one role."""
    names = [entry.name for entry in _offered() if entry.name not in EVERYBODYS]
    return {
        "description": "Written by `just chart`: those that one role may have for itself.",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"$ref": f"#/$defs/settings/properties/{name}"} for name in names},
    }


def _offered() -> list[Entry]:
    return [entry for entry in catalogue() if not entry.secret and entry.name not in (*FIXED, *WITHHELD)]


def write_down() -> None:
    """Bring values.schema.json up to date."""
    place = CHART / "values.schema.json"
    schema = json.loads(place.read_text(encoding="utf-8"))
    schema["$defs"]["settings"] = settings_schema()
    schema["$defs"]["ownSettings"] = own_settings_schema()
    place.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")


def _schema(entry: Entry) -> dict[str, Any]:
    schema = msgspec.json.schema(entry.type)
    kinds = cast("list[dict[str, Any]]", schema.get("anyOf", []))
    if {"type": "null"} in kinds:  # Helm reads a null as "take the default away"; empty is what the environment has
        schema["anyOf"] = [{"const": ""} if kind == {"type": "null"} else kind for kind in kinds]
    return schema
