"""The rendered manifests are valid, and an error in a template is detected."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.chart.engine import KUBERNETES, OTHERS, Refused, check, lint, notes, render, values_file
from tests.chart.settings_schema import CHART

PRODUCTION = values_file("values-production.yaml")
EVERYTHING: dict[str, Any] = {
    "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": ["registry"]},
    "settings": {"BROKER": "redis", "DEPOT_LAT": "", "DEPOT_LNG": "", "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"},
    "roles": {
        "api": {"service": {"type": "LoadBalancer", "port": 80}, "autoscaling": {"enabled": False}},
        "fleet": {"service": {"headless": True}},
    },
    "networkPolicy": {"clients": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "redis": [{"podSelector": {}}]},
    "serviceMonitor": {"enabled": True},
    "pod": {
        "annotations": {"a": "b"},
        "labels": {"team": "dispatch"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
        "priorityClassName": "high",
        "serviceAccountName": "gofleet",
    },
}
NOTHING: dict[str, Any] = {
    "migrate": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "roles": {"api": {"autoscaling": {"enabled": False}}},
    "preStopSeconds": 0,
}
VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "production": PRODUCTION,
    "everything": EVERYTHING,
    "nothing": NOTHING,
}
any_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


@any_values
@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_valid(values: dict[str, Any], version: str) -> None:
    check(render(values), version)


@any_values
def test_helm_lint_finds_nothing(values: dict[str, Any]) -> None:
    assert lint(values) == []


@any_values
def test_names_are_unique(values: dict[str, Any]) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in render(values)]

    assert len(names) == len(set(names)) > 5


def test_objects_of_operators_are_off_by_default_and_on_in_production() -> None:
    default, production = ({manifest["kind"] for manifest in render(values)} for values in ({}, PRODUCTION))

    assert default.isdisjoint(OTHERS)
    assert production >= set(OTHERS)


def test_object_names_contain_the_release_name_and_fit() -> None:
    longest = render(PRODUCTION, release="r" * 53)
    check(longest, KUBERNETES[0])

    assert max(len(manifest["metadata"]["name"]) for manifest in longest) <= 63
    assert "other-gofleet-api" in {manifest["metadata"]["name"] for manifest in render(release="other")}


def test_notes_name_the_secret_and_the_forwarded_port() -> None:
    text = notes({"existingSecret": "mine"})

    assert "create secret generic mine" in text
    assert "svc/gofleet-api 8000:8000" in text


ERRORS = {
    "unclosed": ("deployments.yaml", "{{ $values.replicas }}", "{{ $values.replicas"),
    "unknown function": ("services.yaml", "| nindent 4 }}", "| indented 4 }}"),
    "missing value": ("migrate.yaml", ".Values.migrate.deadlineSeconds", ".Values.migrated.deadlineSeconds"),
    "indentation": ("deployments.yaml", "          args: [run", "         args: [run"),
    "unknown field": ("deployments.yaml", "revisionHistoryLimit:", "revisionsKept:"),
    "wrong type": ("migrate.yaml", "backoffLimit: 3", 'backoffLimit: "3"'),
    "missing field": ("disruption.yaml", "maxUnavailable: 1", "maxUnavailable: [1]"),
    "wrong version": ("network.yaml", "networking.k8s.io/v1\n", "networking.k8s.io/v1beta1\n"),
    "capability": ("_pod.tpl", "capabilities: {drop: [ALL]}", "capabilities: {dropped: [ALL]}"),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_error_in_a_template_is_detected(tmp_path: Path, error: tuple[str, str, str]) -> None:
    file, right, wrong = error
    broken = tmp_path / "gofleet"
    shutil.copytree(CHART, broken)
    text = (broken / "templates" / file).read_text(encoding="utf-8")
    assert right in text
    (broken / "templates" / file).write_text(text.replace(right, wrong), encoding="utf-8")

    with pytest.raises(Refused):
        check(render(chart=broken), KUBERNETES[0])
