"""Invalid values are rejected before anything is installed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gofleet.settings.load import catalogue, load
from tests.chart.engine import Refused, render, values_file
from tests.chart.settings_schema import (
    CHART,
    FIXED,
    REQUIRED,
    SHARED,
    WITHHELD,
    own_settings_schema,
    settings_schema,
)

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"replicaCount": 3}, "replicaCount"),
    "unknown role": ({"roles": {"courier": {"replicas": 1}}}, "courier"),
    "unknown key of a role": ({"roles": {"relay": {"service": {}}}}, "service"),
    "text for a number": ({"roles": {"api": {"replicas": "two"}}}, "replicas"),
    "number for text": ({"existingSecret": 5}, "existingSecret"),
    "less than none": ({"roles": {"fleet": {"replicas": -1}}}, "replicas"),
    "more than all": ({"roles": {"api": {"autoscaling": {"cpuPercent": 150}}}}, "cpuPercent"),
    "no such port": ({"roles": {"api": {"service": {"port": 70000}}}}, "port"),
    "none of the choices": ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    "half a digest": ({"image": {"digest": "sha256:beef"}}, "digest"),
    "no name for a Secret": ({"existingSecret": ""}, "existingSecret"),
    "no amount": ({"migrate": {"resources": {"limits": {"memory": "lots"}}}}, "memory"),
    "no time": ({"serviceMonitor": {"interval": "often"}}, "interval"),
    "no peer": ({"networkPolicy": {"clients": [{"cidr": "10.0.0.0/8"}]}}, "clients"),
    "text for a switch": ({"podDisruptionBudget": {"enabled": "yes"}}, "enabled"),
    "taken away": ({"preStopSeconds": None}, "preStopSeconds"),
    "unknown setting": ({"settings": {"DB_HOTS": "db"}}, "DB_HOTS"),
    "setting of the wrong kind": ({"settings": {"DB_PORT": "five"}}, "DB_PORT"),
    "setting out of bounds": ({"settings": {"BREAKER_FAILURE_RATIO": 1.5}}, "BREAKER_FAILURE_RATIO"),
    "setting that is none of the choices": ({"settings": {"BROKER": "kafka"}}, "BROKER"),
    "setting taken away": ({"settings": {"DB_PORT": None}}, "DB_PORT"),
    "password among the settings": ({"settings": {"DB_PASSWORD": "secret"}}, "DB_PASSWORD"),
    "setting that all share": ({"roles": {"relay": {"settings": {"BROKER": "redis"}}}}, "BROKER"),
    "wrong setting of a role": ({"roles": {"relay": {"settings": {"RELAY_BATCH": 0}}}}, "RELAY_BATCH"),
    "failpoint": ({"settings": {"GOFLEET_FAILPOINTS": "worker.after_lease=kill"}}, "GOFLEET_FAILPOINTS"),
    "port that the chart gives": ({"settings": {"METRICS_PORT": 1}}, "METRICS_PORT"),
    "killed before it is done": ({"terminationGracePeriodSeconds": 15}, "terminationGracePeriodSeconds"),
    "killed over a longer grace": ({"settings": {"GRACE_SECONDS": 60}}, "terminationGracePeriodSeconds"),
    "queue that is not there": (
        {"settings": {"BROKER": "redis"}, "roles": {"worker": {"keda": {"enabled": True}}}},
        "BROKER=rabbitmq",
    ),
}


@pytest.mark.parametrize(("values", "named"), WRONG.values(), ids=WRONG)
def test_invalid_values_are_rejected_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused, match=named):
        render(values)


def test_roles_cannot_override_settings_that_templates_share() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir()]
    read = {name for text in texts for name in re.findall(r"Values\.settings\.([A-Z_]+)", text)}

    assert read <= set(SHARED)


def test_every_object_of_the_schema_is_closed() -> None:
    unclosed = [path for path, each in _objects(SCHEMA, "values") if "additionalProperties" not in each]

    assert sorted(unclosed) == ["values.global", "values.peers.matchExpressions[]"]


def test_every_value_of_the_schema_has_a_type() -> None:
    keywords = {"type", "enum", "$ref", "anyOf", "const"}
    values = [value for _, each in _objects(SCHEMA, "values") for value in each.get("properties", {}).items()]

    assert len(values) > 100
    assert [name for name, value in values if not keywords & set(value)] == []


def _objects(schema: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    objects = [(path, schema)] if schema.get("type") == "object" else []
    for name, inner in schema.get("properties", {}).items():
        objects += _objects(inner, f"{path}.{name}")
    for name, inner in schema.get("$defs", {}).items():
        objects += _objects(inner, f"{path}.{name}" if name != "selector" else f"{path}.peers")
    if "items" in schema:
        objects += _objects(schema["items"], f"{path}[]")
    return objects


def test_settings_equal_those_of_the_product_with_their_bounds() -> None:
    assert SCHEMA["$defs"]["settings"] == settings_schema(), "run `just chart`"
    assert SCHEMA["$defs"]["ownSettings"] == own_settings_schema(), "run `just chart`"


def test_every_setting_is_offered_fixed_withheld_or_a_password() -> None:
    offered = set(SCHEMA["$defs"]["settings"]["properties"])
    secret = {entry.name for entry in catalogue() if entry.secret}
    groups = [offered, set(FIXED), set(WITHHELD), secret]

    assert {name for group in groups for name in group} == {entry.name for entry in catalogue()}
    assert sum(map(len, groups)) == len(catalogue())
    assert set(REQUIRED) <= offered


def test_defaults_repeated_in_the_values_equal_those_of_the_product() -> None:
    settings = values_file("values.yaml")["settings"]
    defaults = load({}, dotenv=None)

    assert settings["GRACE_SECONDS"] == defaults.general.grace_seconds
    assert (settings["DB_PORT"], settings["AMQP_PORT"], settings["REDIS_PORT"]) == (
        defaults.postgres.port,
        defaults.broker.port,
        defaults.redis.port,
    )
