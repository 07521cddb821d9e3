"""A dashboard as Grafana imports it; the data source and the tenant are chosen by its reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from observability.monitoring.dashboards import TENANT, Dashboard, Line, Panel, Unit
from observability.monitoring.promql import selected, shown
from observability.names import REQUEST_COUNT

HEIGHT = 8
UNITS: dict[Unit, str] = {"count": "short", "seconds": "s", "ratio": "percentunit", "usd": "currencyUSD"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


def dashboard_model(dashboard: Dashboard) -> Json:
    return {
        "uid": f"atrium-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["atrium"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables(dashboard))},
        "panels": list(_panels(dashboard)),
    }


def _variables(dashboard: Dashboard) -> Iterator[Json]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    if dashboard.of_tenant:
        query = f"label_values({selected(REQUEST_COUNT)}, tenant)"
        yield {
            "name": "tenant",
            "label": "Tenant",
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": query, "refId": "tenant"},
            "refresh": 2,
            "sort": 1,
        }


def _panels(dashboard: Dashboard) -> Iterator[Json]:
    identity = y = 0
    for row in dashboard.rows:
        identity += 1
        yield {
            "id": identity,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
        }
        y, x = y + 1, 0
        for panel in row.panels:
            if x + panel.width > 24:
                y, x = y + HEIGHT, 0
            identity += 1
            yield _panel(panel, identity, {"x": x, "y": y, "w": panel.width, "h": HEIGHT})
            x += panel.width
        y += HEIGHT


def _panel(panel: Panel, identity: int, place: Json) -> Json:
    custom = {"fillOpacity": 10, "stacking": {"mode": "normal" if panel.stacked else "none"}}
    return {
        "id": identity,
        "type": "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": UNITS[panel.unit], "min": 0, "custom": custom}, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [_target(line, chr(ord("A") + number), panel) for number, line in enumerate(panel.lines)],
    }


def _target(line: Line, letter: str, panel: Panel) -> Json:
    expr = shown(line.signal, period_s=panel.period_s, by=(line.by,) if line.by else ())
    return {
        "refId": letter,
        "datasource": SOURCE,
        "expr": expr.replace(TENANT, "$tenant"),
        "legendFormat": f"{{{{{line.by}}}}}" if line.by else line.label,
    }
