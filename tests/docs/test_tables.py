"""Tables and diagrams on the pages agree with the code."""

from __future__ import annotations

import re

import msgspec
from prometheus_client import REGISTRY

from gofleet.domain.order import TRANSITIONS
from gofleet.telemetry import metrics
from gofleet.verification.sources import LedgerEntry, TapEntry
from tests.docs.__main__ import SETTINGS_PAGE, with_settings
from tests.docs.pages import ROOT, blocks, read


def test_the_readme_draws_exactly_the_transitions_of_the_domain() -> None:
    diagram = re.search(r"```mermaid\s+stateDiagram-v2(.*?)```", read(ROOT / "README.md"), re.S)
    assert diagram is not None
    drawn = set(re.findall(r"^\s*([A-Z_]+) --> ([A-Z_]+)", diagram.group(1), re.M))

    assert drawn == {(was.value, wanted.value) for was, targets in TRANSITIONS.items() for wanted in targets}


def test_the_settings_table_is_up_to_date() -> None:
    """If this fails: `just pages`."""
    text = read(SETTINGS_PAGE)

    assert with_settings(text) == text


def test_the_metrics_table_has_exactly_the_declared_metrics() -> None:
    assert metrics.BREAKER_STATE  # importing them declares them
    declared = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in REGISTRY.collect()
        if metric.name.startswith("gofleet_")
    }

    assert set(re.findall(r"^\| `(gofleet_\w+)` \|", read(SETTINGS_PAGE), re.M)) - {"gofleet_api"} == declared


def test_the_ledger_and_the_tap_are_shown_as_verify_reads_them() -> None:
    [lines] = blocks("json", ROOT / "tests" / "README.md")
    act, tapped = lines.splitlines()

    assert msgspec.json.decode(act, type=LedgerEntry).act == "create"
    assert msgspec.json.decode(tapped, type=TapEntry).type == "orders.created"
