"""Every metric that is declared is exported, under a name Prometheus accepts."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from observability import names
from observability.distribution import Distribution
from observability.prometheus import PrometheusMetrics


def distribution(*values: float) -> Distribution:
    found = Distribution()
    for value in values:
        found.add(value)
    return found


def test_every_declared_metric_is_exported_and_parsed_by_prometheus_own_client() -> None:
    metrics = PrometheusMetrics()
    for metric in names.ALL:
        dimensions = dict.fromkeys(metric.dimensions, 'a"b\n')
        if metric.kind == "counter":
            metrics.count(metric, 2, **dimensions)
        elif metric in names.MERGED:
            metrics.merge(metric, distribution(0.2), **dimensions)
        elif metric.kind == "histogram":
            metrics.observe(metric, 0.2, **dimensions)
        else:
            metrics.gauge(metric, 1, **dimensions)
    families = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    assert {metric.prometheus_name.removesuffix("_total") for metric in names.ALL} <= families


def test_names_are_unique() -> None:
    assert len({metric.prometheus_name for metric in names.ALL}) == len(names.ALL)
    assert len({metric.name for metric in names.ALL}) == len(names.ALL)


def test_cloudwatch_gets_the_names_and_dimensions_that_were_agreed_on() -> None:
    sent = {metric.name: metric.cloudwatch for metric in names.ALL if metric.cloudwatch}
    per_route = {
        "RequestLatency",
        "RequestCount",
        "TokenUsage",
        "CostEstimate",
        "TimeToFirstToken",
        "InterTokenLatency",
    }
    assert all(("tenant", "route") in sent[name].sets for name in per_route)
    assert all(("tenant", "route", "reason") in sent[name].sets for name in ("RefusalCount", "ErrorCount"))
    assert set(sent) > {"ThrottledCount", "QueueTime", "ActiveStreams", "EngineQueueDepth", "KvCacheUsage"}
    assert names.NAMESPACE == "MultiTenantChatbot"


@pytest.mark.parametrize("metric", names.ALL, ids=lambda metric: metric.name)
def test_what_cloudwatch_gets_of_a_metric_is_among_its_dimensions(metric: names.Metric) -> None:
    if metric.cloudwatch:
        assert set(metric.cloudwatch.dimensions) <= set(metric.dimensions)
        assert len(set(metric.cloudwatch.sets)) == len(metric.cloudwatch.sets)
    assert metric.kind != "gauge" or "tenant" not in metric.dimensions  # its series could not be forgotten


def test_many_values_at_once_are_the_same_histogram_as_one_after_another() -> None:
    values = [0.0004, 0.012, 0.012, 0.3, 99.0]
    metrics = PrometheusMetrics()
    for _ in range(2):
        metrics.merge(names.INTER_TOKEN_LATENCY, distribution(*values), tenant="a", route="X")
    text = metrics.render().decode()
    (family,) = [
        found
        for found in text_string_to_metric_families(text)
        if found.name == names.INTER_TOKEN_LATENCY.prometheus_name
    ]
    found = {sample.labels.get("le", sample.name[-5:]): sample.value for sample in family.samples}
    assert (found["0.001"], found["0.01"], found["0.015"], found["0.5"], found["+Inf"]) == (2, 2, 6, 8, 10)
    assert (found["count"], found["s_sum"]) == (10, pytest.approx(198.6488))


def test_a_tenant_that_is_forgotten_has_no_series_left() -> None:
    metrics = PrometheusMetrics()
    for tenant in ("a", "b"):
        metrics.count(names.REQUEST_COUNT, tenant=tenant, route="X", status="200")
        metrics.observe(names.REQUEST_LATENCY, 1.0, tenant=tenant, route="X")
        metrics.merge(names.INTER_TOKEN_LATENCY, distribution(1.0), tenant=tenant, route="X")
    metrics.forget_tenant("a")
    text = metrics.render().decode()
    assert 'tenant="a"' not in text
    assert text.count('tenant="b"') > 20


def test_what_each_service_tells_of_its_own_requests_says_which_service() -> None:
    for component in names.SERVICES:
        metrics = PrometheusMetrics(component)
        for metric in names.ALL:
            dimensions = dict.fromkeys(metric.dimensions, "x")
            if not metric.of_requests:
                continue
            if metric.kind == "counter":
                metrics.count(metric, 2, **dimensions)
            elif metric in names.MERGED:
                metrics.merge(metric, distribution(0.2), **dimensions)
            else:
                metrics.observe(metric, 0.2, **dimensions)
        families = text_string_to_metric_families(metrics.render().decode())
        samples = [sample.labels for family in families for sample in family.samples]
        told = {labels["component"] for labels in samples if "route" in labels}
        assert told == {component}


def test_what_several_services_tell_of_the_same_request_is_sent_to_cloudwatch_by_one() -> None:
    assert {metric.cloudwatch.sent_by for metric in names.ALL if metric.of_requests and metric.cloudwatch} == {
        ("router",)
    }
    assert all(metric.cloudwatch for metric in names.ALL if metric.of_requests)
