"""Every metric that is declared is exported, under a name Prometheus accepts."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from observability import names
from observability.prometheus import PrometheusMetrics


def test_every_declared_metric_is_exported_and_parsed_by_prometheus_own_client() -> None:
    metrics = PrometheusMetrics()
    for metric in names.ALL:
        dimensions = dict.fromkeys(metric.dimensions, 'a"b\n')
        if metric.kind == "counter":
            metrics.count(metric, 2, **dimensions)
        elif metric.kind == "histogram":
            metrics.observe(metric, 0.2, **dimensions)
        else:
            metrics.gauge(metric, 1, **dimensions)
    families = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    assert {metric.prometheus_name.removesuffix("_total") for metric in names.ALL} <= families


def test_names_are_unique() -> None:
    assert len({metric.prometheus_name for metric in names.ALL}) == len(names.ALL)
