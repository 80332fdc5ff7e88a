"""The provisioned dashboards and data sources, with stable uids."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.observability.dashboards import DASHBOARDS
from tests.observability.objectives import GRAFANA, objectives

SOURCES: list[dict[str, Any]] = yaml.safe_load(
    (GRAFANA / "provisioning/datasources/datasources.yml").read_text(encoding="utf-8")
)["datasources"]
UIDS = {"slo": "gofleet-slo", "orders": "gofleet-orders", "dependencies": "gofleet-dependencies"}
"""Parts of bookmarked URLs."""


def committed(name: str) -> dict[str, Any]:
    return json.loads((GRAFANA / f"dashboards/{name}.json").read_text(encoding="utf-8"))


def test_dashboards_have_stable_uids() -> None:
    files = {path.stem for path in (GRAFANA / "dashboards").glob("*.json")}

    assert {name: committed(name)["uid"] for name in files} == UIDS
    assert next(iter(DASHBOARDS)) == "slo"


def test_datasources_have_the_referenced_uids() -> None:
    assert {source["type"]: source["uid"] for source in SOURCES} == {
        "prometheus": "prometheus",
        "loki": "loki",
        "jaeger": "jaeger",
    }
    assert [source["name"] for source in SOURCES if source.get("isDefault")] == ["Prometheus"]


def test_dashboards_are_provisioned_from_the_path_in_compose() -> None:
    text = (GRAFANA / "provisioning/dashboards/dashboards.yml").read_text(encoding="utf-8")
    [provider] = yaml.safe_load(text)["providers"]

    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    assert provider["allowUiUpdates"] is False


@pytest.mark.parametrize("name", UIDS)
def test_panels_use_an_existing_source_and_do_not_overlap(name: str) -> None:
    panels: list[dict[str, Any]] = committed(name)["panels"]
    positions = [panel["gridPos"] for panel in panels]
    cells = [
        (x, y)
        for position in positions
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    for panel in panels:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] in {source["uid"] for source in SOURCES}
            assert panel["description"], panel["title"]


def test_home_shows_every_objective() -> None:
    titles = " ".join(panel["title"] for panel in committed("slo")["panels"])

    assert all(slo.title in titles for slo in objectives())
