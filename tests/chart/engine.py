"""Renders the chart with Helm, and validates the manifests against Kubernetes's schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from tests.chart.settings_schema import CHART

Manifest = dict[str, Any]
OTHERS = ("ScaledObject", "ServiceMonitor")
"""Kinds defined by operators, without a schema in Kubernetes."""
KUBERNETES = ("1.28", "1.37")
"""The oldest supported version, and the newest with schemas."""


class Refused(Exception):
    """The reason why Helm or Kubernetes rejects values or templates."""


def installed(name: str) -> Any:
    """A module of the dependency group `chart`."""
    try:
        return import_module(name)
    except ImportError as error:
        raise AssertionError(f"{name} is missing: `uv sync --group chart`, or use `just test-system`") from error


def values_file(name: str) -> Manifest:
    return yaml.safe_load((CHART / name).read_text(encoding="utf-8"))


def render(values: Mapping[str, Any] | None = None, *, release: str = "gofleet", chart: Path = CHART) -> list[Manifest]:
    """Every object of the release; `Refused` with Helm's reason."""
    helm = installed("helm_python")
    try:
        with helm.Chart.load(chart) as loaded:
            texts: dict[str, str] = loaded.render(dict(values or {}), name=release, namespace="shop")
    except helm.HelmError as error:
        raise Refused(str(error)) from error
    manifests = (text for path, text in texts.items() if path.endswith(".yaml"))
    try:
        return [each for text in manifests for each in yaml.load_all(text, yaml.CSafeLoader) if each]
    except yaml.YAMLError as error:
        raise Refused(str(error)) from error


@cache
def default() -> list[Manifest]:
    """The release with the chart's default values."""
    return render()


def notes(values: Mapping[str, Any] | None = None) -> str:
    with installed("helm_python").Chart.load(CHART) as loaded:
        return loaded.render(dict(values or {}), name="gofleet", namespace="shop")["gofleet/templates/NOTES.txt"]


def lint(values: Mapping[str, Any], *, chart: Path = CHART) -> list[str]:
    """The errors of `helm lint --strict`, without the advice to add an icon."""
    report = installed("helm_python").lint(chart, dict(values), strict=True)
    return [message["error"] for message in report["messages"] if message["severity"] > 1]


def check(manifests: Sequence[Manifest], version: str) -> None:
    """`Refused` for manifests that Kubernetes would reject, unknown fields included."""
    kubernetes = installed("kubernetes_validate")
    for manifest in manifests:
        if manifest["kind"] not in OTHERS:
            try:
                kubernetes.validate(manifest, version, strict=True)
            except (kubernetes.ValidationError, kubernetes.SchemaNotFoundError) as error:
                raise Refused(f"{manifest['kind']} {manifest['metadata']['name']}: {error}") from error


def of_kind(manifests: Sequence[Manifest], kind: str) -> dict[str, Manifest]:
    """The objects of a kind, by name."""
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


def pods(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """The pod templates by the name of their container: the roles, and `migrate`."""
    templates = [each["spec"]["template"] for each in manifests if each["kind"] in ("Deployment", "Job")]
    return {template["spec"]["containers"][0]["name"]: template for template in templates}


def container(template: Manifest) -> Manifest:
    [only] = template["spec"]["containers"]
    return only


def environment(manifests: Sequence[Manifest], name: str) -> dict[str, str]:
    """The environment variables of a container, with `secret` for each password."""
    only = container(pods(manifests)[name])
    maps = of_kind(manifests, "ConfigMap")
    variables: dict[str, str] = {}
    for source in only.get("envFrom", []):
        variables |= maps[source["configMapRef"]["name"]]["data"]
    return variables | {entry["name"]: entry.get("value", "secret") for entry in only["env"]}
