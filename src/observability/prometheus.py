"""The Prometheus sink: one registry a process, every metric made from `names.ALL`."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from observability import names
from observability.names import Metric

CONTENT_TYPE = CONTENT_TYPE_LATEST


class PrometheusMetrics:
    """A registry of its own, so that two services in one test process do not share counters."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._gauges: dict[str, Gauge] = {}
        for metric in names.ALL:
            name, labels = metric.prometheus_name, metric.dimensions
            if metric.kind == "counter":
                self._counters[metric.name] = Counter(name, metric.help, labels, registry=self._registry)
            elif metric.kind == "histogram":
                self._histograms[metric.name] = Histogram(
                    name, metric.help, labels, buckets=metric.buckets, registry=self._registry
                )
            else:
                self._gauges[metric.name] = Gauge(name, metric.help, labels, registry=self._registry)

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        counter = self._counters[metric.name]
        (counter.labels(*_values(metric, dimensions)) if metric.dimensions else counter).inc(amount)

    def observe(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        histogram = self._histograms[metric.name]
        (histogram.labels(*_values(metric, dimensions)) if metric.dimensions else histogram).observe(value)

    def gauge(self, metric: Metric, delta: float, /, **dimensions: str) -> None:
        self._gauge(metric, dimensions).inc(delta)

    def level(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        self._gauge(metric, dimensions).set(value)

    def _gauge(self, metric: Metric, dimensions: dict[str, str]) -> Gauge:
        gauge = self._gauges[metric.name]
        return gauge.labels(*_values(metric, dimensions)) if metric.dimensions else gauge

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)


def _values(metric: Metric, dimensions: dict[str, str]) -> list[str]:
    return [dimensions.get(name, "") for name in metric.dimensions]
