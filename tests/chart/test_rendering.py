"""What the chart makes of values is what Kubernetes takes, and a slip in a template is caught."""

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
def test_kubernetes_takes_all_of_it(values: dict[str, Any], version: str) -> None:
    check(render(values), version)


@any_values
def test_helm_has_nothing_against_it(values: dict[str, Any]) -> None:
    assert lint(values) == []


@any_values
def test_no_name_is_given_twice(values: dict[str, Any]) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in render(values)]

    assert len(names) == len(set(names)) > 5


def test_what_belongs_to_operators_is_off_by_default_and_on_in_production() -> None:
    default, production = ({found["kind"] for found in render(values)} for values in ({}, PRODUCTION))

    assert default.isdisjoint(OTHERS)
    assert production >= set(OTHERS)


def test_a_long_release_name_fits_and_another_one_is_told_apart() -> None:
    longest = render(PRODUCTION, release="r" * 53)
    check(longest, KUBERNETES[0])

    assert max(len(found["metadata"]["name"]) for found in longest) <= 63
    assert "other-gofleet-api" in {found["metadata"]["name"] for found in render(release="other")}


def test_the_notes_say_which_secret_and_how_to_order() -> None:
    said = notes({"existingSecret": "mine"})

    assert "create secret generic mine" in said
    assert "svc/gofleet-api 8000:8000" in said


SLIPS = {
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


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_a_slip_in_a_template_is_caught(tmp_path: Path, slip: tuple[str, str, str]) -> None:
    file, right, wrong = slip
    broken = tmp_path / "gofleet"
    shutil.copytree(CHART, broken)
    text = (broken / "templates" / file).read_text(encoding="utf-8")
    assert right in text
    (broken / "templates" / file).write_text(text.replace(right, wrong), encoding="utf-8")

    with pytest.raises(Refused):
        check(render(chart=broken), KUBERNETES[0])
