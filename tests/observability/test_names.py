"""Every metric name in rules, dashboards and texts exists, with the labels it is selected by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from gofleet.adapters.postgres.diagnostics import group_of
from gofleet.roles import ORDER
from gofleet.telemetry import metrics
from tests.observability.dashboards import queries
from tests.observability.files import SLO_RULES, SYMPTOM_RULES
from tests.observability.objectives import PROMETHEUS, ROOT, objectives

DECLARED = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
ADDED_BY_SCRAPING = {"job", "instance", "role"}
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",), "gauge": ("",)}
OTHERS = {"up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes"}
NAME = re.compile(r"\b(?:gofleet|process|python|up|ALERTS)\w*(?::\w+)*")


def _labels() -> dict[str, set[str]]:
    """Every series name, with its labels."""
    labels: dict[str, set[str]] = {}
    for metric in DECLARED:
        [described] = metric.describe()
        own = set(cast("tuple[str, ...]", vars(metric)["_labelnames"]))  # prometheus_client has no public access to it
        for suffix in SUFFIXES[described.type]:
            labels[described.name + suffix] = own | ({"le"} if suffix == "_bucket" else set())
    return labels


LABELS = _labels()


def _rules() -> Iterator[tuple[str, str]]:
    for path in (SLO_RULES, SYMPTOM_RULES):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield rule.get("alert") or rule["record"], rule["expr"]


RECORDED = {name for name, _ in _rules() if ":" in name}
QUERIES = [*_rules(), *queries(), *((slo.name, expr) for slo in objectives() for expr in (slo.bad, slo.valid))]


def test_declared_metrics_are_registered() -> None:
    registered = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("gofleet_")}

    assert {described.name for metric in DECLARED for described in metric.describe()} == registered


def test_queries_name_existing_metrics_and_labels(subtests: pytest.Subtests) -> None:
    for where, expr in QUERIES:
        with subtests.test(query=where):
            _check_query(expr)


def _check_query(expr: str) -> None:
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expr)  # label values are not names
    names = {name for name in NAME.findall(bare) if not re.search(rf"\b{name}\s*\(", bare)}
    unknown_labels = {
        name: unknown
        for name, selector in re.findall(r"(\w+)\{([^}]*)\}", bare)
        if name in LABELS and (unknown := set(re.findall(r"(\w+)\s*[=!]", selector)) - LABELS[name] - ADDED_BY_SCRAPING)
    }

    assert names, "the query names no metric"
    assert names <= LABELS.keys() | RECORDED | OTHERS
    assert not unknown_labels


def test_an_unknown_metric_is_noticed() -> None:
    assert "gofleet_orders_created_total" not in LABELS
    assert NAME.findall("rate(gofleet_orders_created_total[5m])") == ["gofleet_orders_created_total"]


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", ROOT / "config" / "README.md", PROMETHEUS / "runbooks.md", PROMETHEUS / "slo.yaml"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_texts_name_existing_metrics(path: Path) -> None:
    named = set(re.findall(r"\bgofleet_[a-z_]+\b", path.read_text(encoding="utf-8")))
    bare = {re.sub(r"_(bucket|count|sum)$", "", name) for name in LABELS}

    assert named - {group_of(role) for role in ORDER} <= LABELS.keys() | bare
