"""A dashboard as CloudWatch's dashboard body: panels in rows, on a grid of 24 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from observability.monitoring.cloudwatch_alarms import statistic
from observability.monitoring.dashboards import TENANT, Dashboard, Line, Panel, Unit
from observability.monitoring.signals import Share, Signal, Slower, Where
from observability.names import NAMESPACE, REQUEST_COUNT

COLUMNS, HEADING, HEIGHT = 24, 1, 6
LABELS: dict[Unit, str] = {"count": "", "seconds": "seconds", "ratio": "", "usd": "USD"}

Json = dict[str, Any]


def body(dashboard: Dashboard) -> Json:
    """Without regions: Terraform puts in its own."""
    found: Json = {"widgets": list(_widgets(dashboard))}
    if dashboard.of_tenant:
        found["variables"] = [_variable()]
    return found


def _widgets(dashboard: Dashboard) -> Iterator[Json]:
    y = 0
    for row in dashboard.rows:
        heading = {"markdown": f"## {row.title}"}
        yield {"type": "text", "x": 0, "y": y, "width": COLUMNS, "height": HEADING, "properties": heading}
        y, x = y + HEADING, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                y, x = y + HEIGHT, 0
            yield {
                "type": "metric",
                "x": x,
                "y": y,
                "width": panel.width,
                "height": HEIGHT,
                "properties": _properties(panel),
            }
            x += panel.width
        y += HEIGHT


def _properties(panel: Panel) -> Json:
    left: Json = {"min": 0, "showUnits": False}
    if label := LABELS[panel.unit]:
        left["label"] = label
    return {
        "title": panel.title,
        "view": "timeSeries",
        "stacked": panel.stacked,
        "period": panel.period_s,
        "metrics": [entry for place, line in enumerate(panel.lines) for entry in _entries(line, place, panel)],
        "yAxis": {"left": left},
    }


def _entries(line: Line, place: int, panel: Panel) -> Iterator[list[Any]]:
    """Of a metrics array: [namespace, name, dimension, value, …, options]."""
    signal = line.signal
    match signal:
        case Share():
            part, whole = f"p{place}", f"w{place}"
            expression = f"IF({whole} >= {signal.at_least}, FILL({part}, 0) / {whole}, 0)"
            yield [{"expression": expression, "label": line.label, "id": f"e{place}"}]
            yield _series(signal.part.metric.name, signal.part.where, {"id": part, "stat": "Sum", "visible": False})
            yield _series(signal.whole.metric.name, signal.whole.where, {"id": whole, "stat": "Sum", "visible": False})
        case Slower():
            raise ValueError("CloudWatch is asked for a percentile")
        case _ if line.by:
            yield [{"expression": _search(signal, line.by, signal.where, panel.period_s), "id": f"e{place}"}]
        case _:
            yield _series(signal.metric.name, signal.where, {"stat": statistic(signal), "label": line.label})


def _series(name: str, where: Where, options: Json) -> list[Any]:
    return [NAMESPACE, name, *(text for pair in where for text in pair), options]


def _search(signal: Signal, by: str, where: Where, period_s: int) -> str:
    """Every series with exactly these dimensions. The names of theirs that are fixed have a value."""
    assert not isinstance(signal, Share | Slower)  # noqa: S101  narrows the type
    schema = ",".join((NAMESPACE, *(name for name, _ in where), by))
    fixed = "".join(f' {name}="{value}"' for name, value in where)
    asked = f'{{{schema}}} MetricName="{signal.metric.name}"{fixed}'
    return f"SEARCH('{asked}', '{statistic(signal)}', {period_s})"


def _variable() -> Json:
    return {
        "type": "pattern",
        "pattern": TENANT,
        "inputType": "select",
        "id": "tenant",
        "label": "Tenant",
        "defaultValue": TENANT,
        "visible": True,
        "search": f'{{{NAMESPACE},tenant}} MetricName="{REQUEST_COUNT.name}"',
        "populateFrom": "tenant",
    }
