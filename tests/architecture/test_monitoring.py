"""Alarms and dashboards look at what is really sent, and what is committed is what the code makes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from observability import names
from observability.distribution import Distribution
from observability.emf import documents
from observability.interval import Interval
from observability.monitoring.__main__ import TERRAFORM, files
from observability.monitoring.alarm import Alarm
from observability.monitoring.alarms import ALARMS
from observability.monitoring.cloudwatch_alarms import document
from observability.monitoring.cloudwatch_dashboards import body
from observability.monitoring.dashboards import DASHBOARDS, TENANT, Dashboard
from observability.monitoring.signals import Level, metrics_of
from observability.monitoring.slo import BURN_ALARMS

ROOT = Path(__file__).parents[2]
Sent = frozenset[tuple[str, str, frozenset[str]]]
SEARCH = re.compile(r"SEARCH\('\{(?P<schema>[^}]+)\} MetricName=\"(?P<name>\w+)\"(?P<fixed>[^']*)', '[\w.]+', \d+\)")
EVERY_ALARM = (*ALARMS, *(part for burn in BURN_ALARMS for part in burn.parts()))


@pytest.fixture(scope="module")
def sent() -> Sent:
    """What the services' own sink makes of every metric: namespace, name, set of dimensions."""
    return frozenset(_sent())


def _sent() -> Iterator[tuple[str, str, frozenset[str]]]:
    values = Distribution()
    values.add(0.5)
    for service in names.SERVICES:
        interval = Interval(service, dropped=lambda _number, _reason: None)
        for metric in names.ALL:
            if metric.kind == "histogram":
                interval.merge(metric, values)
            elif metric.kind == "counter":
                interval.count(metric)
            else:
                interval.level(metric, 1)
        for line in documents(interval.take(), service=service, at_ms=1):
            for directive in json.loads(line)["_aws"]["CloudWatchMetrics"]:
                for metric in directive["Metrics"]:
                    for dimensions in directive["Dimensions"]:
                        yield directive["Namespace"], metric["Name"], frozenset(dimensions)


def strings_outside_monitoring() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        if "monitoring" not in path.parts:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found |= {
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return found


def test_what_is_committed_is_what_is_made() -> None:
    for path, text in files().items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path}: run python -m observability.monitoring"


def test_nothing_is_left_of_a_dashboard_that_is_gone() -> None:
    folders = {path.parent for path in files() if path.parent.name == "dashboards"} | {TERRAFORM}
    on_disk = {
        path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix == ".json"
    }
    assert on_disk == {path for path in files() if path.suffix == ".json"}


def test_an_alarm_looks_at_a_metric_with_exactly_a_set_of_dimensions_that_is_sent(sent: Sent) -> None:
    for name, alarm in document(ALARMS, BURN_ALARMS)["metric_alarms"].items():
        for query in alarm["queries"]:
            if metric := query.get("metric"):
                asked = metric["namespace"], metric["metric_name"], frozenset(metric["dimensions"])
                assert asked in sent, name


def test_a_dashboard_shows_metrics_with_exactly_a_set_of_dimensions_that_is_sent(sent: Sent) -> None:
    for dashboard in DASHBOARDS:
        for title, asked in shown(body(dashboard)):
            assert asked in sent, f"{dashboard.name}: {title}"


def shown(found: dict[str, Any]) -> Iterator[tuple[str, tuple[str, str, frozenset[str]]]]:
    for widget in found["widgets"]:
        for entry in widget["properties"].get("metrics", []):
            title = widget["properties"]["title"]
            if not isinstance(entry[0], dict):
                yield title, (entry[0], entry[1], frozenset(entry[2:-1:2]))
            elif entry[0]["expression"].startswith("SEARCH"):
                searched = SEARCH.fullmatch(entry[0]["expression"])
                assert searched, entry[0]["expression"]
                namespace, *dimensions = searched["schema"].split(",")
                yield title, (namespace, searched["name"], frozenset(dimensions))


def test_the_value_of_a_dimension_that_is_asked_for_is_one_that_the_code_gives() -> None:
    given = strings_outside_monitoring() | {TENANT}
    lines = [line.signal for one in DASHBOARDS for row in one.rows for panel in row.panels for line in panel.lines]
    for signal in (*(alarm.signal for alarm in ALARMS), *lines):
        for metric, where in metrics_of(signal):
            for dimension, value in where:
                assert value in given, f"{metric.name} {dimension}={value}"


@pytest.mark.parametrize("alarm", EVERY_ALARM, ids=lambda alarm: alarm.name)
def test_an_alarm_is_one_that_cloudwatch_takes(alarm: Alarm) -> None:
    assert alarm.window_s % 60 == 0
    assert alarm.window_s * alarm.windows <= (86_400 if alarm.window_s < 3_600 else 604_800)
    assert alarm.window_s <= 86_400
    assert len(f"{alarm.says} {alarm.runbook}") <= 1_024
    if isinstance(alarm.signal, Level) and alarm.signal.over == "Sum":
        assert alarm.window_s == 60, "the sum of one interval of all processes, not of several intervals"


def test_names_are_unique_and_what_explains_an_alarm_is_a_metric_alarm_that_tells() -> None:
    every = [alarm.name for alarm in (*ALARMS, *BURN_ALARMS)]
    assert len(set(every)) == len(every)
    found = document(ALARMS, BURN_ALARMS)
    assert not found["metric_alarms"].keys() & found["composite_alarms"].keys()
    for alarm in ALARMS:
        assert all(found["metric_alarms"][cause]["tells"] for cause in alarm.unless)


def test_every_alarm_that_tells_is_heard_of_once() -> None:
    found = document(ALARMS, BURN_ALARMS)
    telling = [name for name, alarm in found["metric_alarms"].items() if alarm["tells"]]
    parts = [part for composite in found["composite_alarms"].values() for part in composite["all_of"]]
    assert sorted([*telling, *found["composite_alarms"]]) == sorted(alarm.name for alarm in (*ALARMS, *BURN_ALARMS))
    assert sorted([*telling, *parts]) == sorted(found["metric_alarms"])


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_a_cloudwatch_dashboard_is_well_formed(dashboard: Dashboard) -> None:
    found = body(dashboard)
    taken: set[tuple[int, int]] = set()
    for widget in found["widgets"]:
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert max(x for x, _ in cells) < 24
        assert not taken & cells, "two widgets overlap"
        taken |= cells
        assert widget["type"] in {"text", "metric"}
        if widget["type"] == "metric":
            well_formed(widget["properties"])
    assert len(found["widgets"]) <= 500
    assert ("variables" in found) is dashboard.of_tenant
    assert (TENANT in json.dumps(found)) is dashboard.of_tenant


def well_formed(properties: dict[str, Any]) -> None:
    assert 1 <= len(properties["metrics"]) <= 500
    assert properties["period"] % 60 == 0
    identities = [entry[-1]["id"] for entry in properties["metrics"] if "id" in entry[-1]]
    assert len(set(identities)) == len(identities)
    assert all(re.fullmatch(r"[a-z]\w*", identity) for identity in identities)
    for entry in properties["metrics"]:
        *series, options = entry
        assert isinstance(options, dict)
        assert len(series) % 2 == 0, "namespace and name, then pairs"
        assert all(isinstance(text, str) and text for text in series)
        assert bool(series) is ("stat" in options)
        assert bool(series) is not ("expression" in options)
