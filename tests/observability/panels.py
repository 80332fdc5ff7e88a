"""Grafana's panels as plain dictionaries, with what every one of ours has in common said once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH = 24


class Query(NamedTuple):
    """`legend` may name labels: `{{role}}`."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """`bounds` colour a value: from each number on, that colour."""

    title: str
    queries: Sequence[Query]
    about: str
    unit: str = "short"
    width: int = 8
    kind: str = "timeseries"
    bounds: Sequence[tuple[float | None, str]] = ((None, "green"),)


def dashboard(uid: str, title: str, about: str, rows: Sequence[tuple[str, Sequence[Panel]]]) -> dict[str, Any]:
    """A dashboard with a row of panels for each question; ids follow from the order, so nothing changes by itself."""
    panels, at = list[dict[str, Any]](), 0
    for question, members in rows:
        panels.append(_row(len(panels) + 1, question, at))
        at, left = at + 1, 0
        for panel in members:
            if left + panel.width > WIDTH:
                at, left = at + 8, 0
            panels.append(_panel(len(panels) + 1, panel, left, at))
            left += panel.width
        at += 8
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["gofleet"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {"type": "dashboards", "tags": ["gofleet"], "title": "GoFleet", "asDropdown": False, "keepTime": True}
        ],
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": panels,
    }


def _row(id: int, title: str, at: int) -> dict[str, Any]:
    place = {"x": 0, "y": at, "w": WIDTH, "h": 1}
    return {"id": id, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(id: int, panel: Panel, left: int, at: int) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in panel.bounds]
    return {
        "id": id,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"x": left, "y": at, "w": panel.width, "h": 8},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": _options(panel.kind),
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": panel.kind == "stat",
                "range": panel.kind != "stat",
            }
            for number, query in enumerate(panel.queries)
        ],
    }


def _options(kind: str) -> dict[str, Any]:
    if kind == "stat":
        return {"colorMode": "value", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
