"""Grafana dashboards and panels as dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH = 24


class Query(NamedTuple):
    """A PromQL expression; `legend` may contain labels: `{{role}}`."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """A panel; `bounds` are the values from which on it has a colour."""

    title: str
    queries: Sequence[Query]
    about: str
    unit: str = "short"
    width: int = 8
    kind: str = "timeseries"
    bounds: Sequence[tuple[float | None, str]] = ((None, "green"),)


def dashboard(uid: str, title: str, about: str, rows: Sequence[tuple[str, Sequence[Panel]]]) -> dict[str, Any]:
    """A dashboard with titled rows of panels; ids follow from the order, so that the file is reproducible."""
    panels, top = list[dict[str, Any]](), 0
    for heading, members in rows:
        panels.append(_row(len(panels) + 1, heading, top))
        top, left = top + 1, 0
        for panel in members:
            if left + panel.width > WIDTH:
                top, left = top + 8, 0
            panels.append(_panel(len(panels) + 1, panel, left, top))
            left += panel.width
        top += 8
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


def _row(id: int, title: str, top: int) -> dict[str, Any]:
    position = {"x": 0, "y": top, "w": WIDTH, "h": 1}
    return {"id": id, "type": "row", "title": title, "collapsed": False, "gridPos": position, "panels": []}


def _panel(id: int, panel: Panel, left: int, top: int) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in panel.bounds]
    return {
        "id": id,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"x": left, "y": top, "w": panel.width, "h": 8},
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
