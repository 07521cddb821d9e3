"""What is written for Prometheus: names and labels exist, and the rules do what they say.

The second half asks Prometheus itself, by promtool: PROMTOOL's, the machine's, or what .ci/promtool fetched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from observability import names
from observability.monitoring.__main__ import RULES, files
from observability.monitoring.alarms import ALARMS
from observability.monitoring.dashboards import DASHBOARDS
from observability.monitoring.grafana import dashboard_model
from observability.monitoring.slo import BURN_ALARMS
from support.rendered import ROOT

FETCHED = shutil.which("promtool", path=ROOT / ".venv-tools" / "bin")
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool") or FETCHED
asks_prometheus = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: .ci/promtool .venv-tools/bin")
SELECTOR = re.compile(r"(?<![\w:\"$])([a-zA-Z_][\w:]*)(?:\{([^}]*)\})?(?![\w:\"]|\s*\()")
GROUPED = re.compile(r"\b(by|on) \(([^)]*)\)")
STRING = re.compile(r'"[^"]*"')
WINDOW = re.compile(r"\[[^\]]*\]|\boffset \w+")
FUNCTIONS = {"sum", "max", "rate", "increase", "vector", "histogram_quantile", "last_over_time"}
WORDS = {"and", "or", "unless", "by", "on", "offset"}
OF_PROMETHEUS = {"ALERTS": {"alertname", "alertstate"}}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(files()[RULES])["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for dashboard in DASHBOARDS:
        for panel in dashboard_model(dashboard)["panels"]:
            yield from (target["expr"] for target in panel.get("targets", []))


def series() -> dict[str, set[str]]:
    """Every name that is exported, with its labels."""
    found: dict[str, set[str]] = dict(OF_PROMETHEUS)
    for metric in names.ALL:
        if metric.kind != "histogram":
            found[metric.prometheus_name] = set(metric.prometheus_labels)
            continue
        for end, more in (("_bucket", {"le"}), ("_count", set()), ("_sum", set())):
            found[metric.prometheus_name + end] = {*metric.prometheus_labels, *more}
    return found | {rule["record"]: set(rule["labels"]) for rule in rules() if "record" in rule}


def check(expr: str) -> None:
    """Raises AssertionError for a series, a label or a function that does not exist."""
    known = series()
    asked = {label.strip() for _, labels in GROUPED.findall(expr) for label in labels.split(",") if label.strip()}
    bare = WINDOW.sub("", GROUPED.sub("", expr))
    selected = [(name, labels) for name, labels in SELECTOR.findall(bare) if name not in WORDS]
    assert selected
    for name, labels in selected:
        assert name in known
        assert {pair.partition("=")[0] for pair in labels.split(",") if pair} <= known[name]
    assert asked <= set().union(*(known[name] for name, _ in selected))
    assert set(re.findall(r"\b(\w+) ?\(", STRING.sub("", GROUPED.sub("", expr)))) - WORDS <= FUNCTIONS


@pytest.mark.parametrize("expr", sorted(set(expressions())))
def test_an_expression_selects_series_that_exist_by_labels_that_they_have(expr: str) -> None:
    check(expr)


@pytest.mark.parametrize("expr", sorted(set(expressions())))
def test_of_what_each_service_tells_of_its_own_requests_the_routers_alone_is_looked_at(expr: str) -> None:
    """A chat is a request of the router, one of the orchestrator and some of the RAG service."""
    of_requests = tuple(metric.prometheus_name for metric in names.ALL if metric.of_requests)
    for name, labels in SELECTOR.findall(WINDOW.sub("", GROUPED.sub("", expr))):
        assert not name.startswith(of_requests) or 'component="router"' in labels


@pytest.mark.parametrize(
    "expr",
    [
        "sum(atrium_requests_total) > 1",
        'max(atrium_limiter_local{tenant="a"})',
        "sum by (route) (rate(atrium_throttled_total[5m]))",
        "summe(rate(atrium_throttled_total[5m]))",
        'slo:bad_share:2h{slo="availability"} > 1',
        'sum(increase(atrium_error_total[5m])) > 1 unless on () ALERTS{name="X"}',
    ],
)
def test_what_does_not_exist_is_found(expr: str) -> None:
    with pytest.raises(AssertionError):
        check(expr)


@pytest.mark.parametrize("expr", sorted(set(expressions())))
def test_an_expression_closes_what_it_opens(expr: str) -> None:
    waiting: list[str] = []
    pairs = {")": "(", "]": "[", "}": "{"}
    for char in STRING.sub("", expr):
        if char in pairs.values():
            waiting.append(char)
        elif char in pairs:
            assert waiting.pop() == pairs[char]
    assert not waiting


def test_every_alarm_is_a_rule_with_its_severity_and_its_entry_in_the_runbook() -> None:
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    assert len(alerts) == len(ALARMS) + len(BURN_ALARMS)
    for alarm, rule in zip((*BURN_ALARMS, *ALARMS), alerts.values(), strict=True):
        assert rule["labels"]["severity"] == alarm.severity
        assert rule["annotations"] == {"summary": alarm.says, "runbook": alarm.runbook}


@asks_prometheus
def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(files()[RULES], encoding="utf-8")
    assert "SUCCESS" in promtool("check", "rules", str(tmp_path / "rules.yaml"))


@asks_prometheus
def test_prometheus_takes_what_the_dashboards_ask(tmp_path: Path) -> None:
    """As recording rules, with a window in the place of Grafana's."""
    asked = [
        {"record": f"asked:{number}", "expr": expr.replace("$__rate_interval", "5m")}
        for number, expr in enumerate(expressions())
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": asked}]}), encoding="utf-8")
    assert "SUCCESS" in promtool("check", "rules", str(tmp_path / "rules.yaml"))


ROUTER = '{component="router"}'
UP = [{"series": f'atrium_processes_up{{component="{service}"}}', "values": "1x600"} for service in names.SERVICES]


def fired(at: str, alert: str, *labels: dict[str, str]) -> dict[str, Any]:
    (rule,) = [one for one in rules() if one.get("alert") == alert]
    found = [
        {"exp_labels": {**rule["labels"], **one}, "exp_annotations": rule["annotations"]} for one in (labels or ())
    ]
    return {"eval_time": at, "alertname": alert, "exp_alerts": found}


CASES: dict[str, tuple[list[dict[str, str]], list[dict[str, Any]]]] = {
    "the first passage of another tenant is seen, though its counter was not there before": (
        [{"series": 'atrium_cross_tenant_drop_total{tenant="a"}', "values": "_x10 1x50"}],
        [fired("9m", "CrossTenantDrop"), fired("12m", "CrossTenantDrop", {}), fired("30m", "CrossTenantDrop")],
    ),
    "a counter that was there before Prometheus was away is not taken for one that has grown": (
        [{"series": 'atrium_cross_tenant_drop_total{tenant="a"}', "values": "7x20 _x20 7x30"}],
        [fired("42m", "CrossTenantDrop"), fired("50m", "CrossTenantDrop")],
    ),
    "who has used more than four fifths of its budget is named": (
        [
            {"series": 'atrium_budget_used_count{tenant="a"}', "values": "0+2x60"},
            {"series": 'atrium_budget_used_bucket{tenant="a",le="0.8"}', "values": "0+2x20 41+0x40"},
            {"series": 'atrium_budget_used_count{tenant="b"}', "values": "0+9x60"},
            {"series": 'atrium_budget_used_bucket{tenant="b",le="0.8"}', "values": "0+9x60"},
        ],
        [fired("15m", "Budget80"), fired("30m", "Budget80", {"tenant": "a"})],
    ),
    "two per cent of failures burn fast, and half a per cent does not": (
        [
            {"series": 'atrium_request_total{tenant="a",component="router"}', "values": "0+1000x200"},
            {"series": 'atrium_fault_total{tenant="a",component="router"}', "values": "0+5x90 450+20x110"},
        ],
        [fired("90m", "AvailabilityFast"), fired("155m", "AvailabilityFast", {"slo": "availability"})],
    ),
    "of few requests nothing is said": (
        [
            {"series": 'atrium_request_total{tenant="a",component="router"}', "values": "0+0.2x200"},
            {"series": 'atrium_fault_total{tenant="a",component="router"}', "values": "0+0.1x200"},
        ],
        [fired("100m", "AvailabilityFast"), fired("100m", "ErrorRate")],
    ),
    "that every chat fails is seen, though the services ask each other much more often, and do not fail": (
        [
            {"series": f"atrium_request_total{ROUTER}", "values": "0+10x100"},
            {"series": f"atrium_fault_total{ROUTER}", "values": "0+10x100"},
            {"series": 'atrium_request_total{component="orchestrator"}', "values": "0+130x100"},
            {"series": 'atrium_request_total{component="rag"}', "values": "0+130x100"},
        ],
        [fired("30m", "ErrorRate", {})],
    ),
    "what two services tell of one chat that failed is not counted twice": (
        [
            {"series": f"atrium_request_total{ROUTER}", "values": "0+100x100"},
            {"series": f"atrium_fault_total{ROUTER}", "values": "0+6x100"},
            {"series": 'atrium_fault_total{component="orchestrator"}', "values": "0+6x100"},
        ],
        [fired("30m", "ErrorRate")],
    ),
    "answers that begin late burn the other objective": (
        [
            {"series": f"atrium_time_to_first_token_seconds_count{ROUTER}", "values": "0+10x100"},
            {
                "series": 'atrium_time_to_first_token_seconds_bucket{component="router",le="2.5"}',
                "values": "0+2x100",
            },
        ],
        [fired("90m", "FirstTokenFast", {"slo": "first-token"})],
    ),
    "what PostgreSQL explains is not told beside it": (
        [
            {"series": "atrium_ledger_lag_seconds", "values": "90x100"},
            {"series": 'atrium_dependency_failure_total{dependency="postgres"}', "values": "0x30 0+30x70"},
        ],
        [
            fired("20m", "LedgerLag", {}),
            fired("50m", "PostgresUnreachable", {}),
            fired("55m", "LedgerLag"),
        ],
    ),
    "a service that says nothing is alarmed and those that live are not": (
        UP[1:],
        [fired("3m", "NoDataRouter"), fired("7m", "NoDataRouter", {}), fired("7m", "NoDataRag")],
    ),
}


@asks_prometheus
@pytest.mark.parametrize("case", CASES)
def test_by_prometheus_own_reckoning(case: str, tmp_path: Path) -> None:
    given, alerts = CASES[case]
    (tmp_path / "rules.yaml").write_text(files()[RULES], encoding="utf-8")
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": given, "alert_rule_test": alerts}],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "test.yaml"))


def promtool(*arguments: str) -> str:
    done = subprocess.run([str(PROMTOOL), *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
