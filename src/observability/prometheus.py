"""The Prometheus sink: one registry a process, every metric made from `names.ALL`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from threading import Lock

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from observability import names
from observability.distribution import Distribution
from observability.names import Metric, Service

CONTENT_TYPE = CONTENT_TYPE_LATEST
_Values = tuple[str, ...]


class _Merged(Collector):
    """A histogram that takes many values at once, which the client library's own does not."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._series: dict[_Values, tuple[list[int], list[float]]] = {}
        self._lock = Lock()

    def merge(self, values: Distribution, dimensions: _Values) -> None:
        buckets = self._metric.buckets
        with self._lock:
            if dimensions not in self._series:
                self._series[dimensions] = ([0] * (len(buckets) + 1), [0.0])
            counts, total = self._series[dimensions]
            for value, number in values:
                counts[bisect_left(buckets, value)] += number
                total[0] += value * number

    def forget(self, dimension: str, value: str) -> None:
        place = self._metric.dimensions.index(dimension)
        with self._lock:
            self._series = {key: found for key, found in self._series.items() if key[place] != value}

    def collect(self) -> Iterable[HistogramMetricFamily]:
        metric = self._metric
        family = HistogramMetricFamily(metric.prometheus_name, metric.help, labels=metric.prometheus_labels)
        with self._lock:
            for dimensions, (counts, total) in self._series.items():
                below, buckets = 0, []
                for edge, number in zip((*map(str, metric.buckets), "+Inf"), counts, strict=True):
                    below += number
                    buckets.append((edge, float(below)))
                family.add_metric(dimensions, buckets, total[0])
        return [family]


class PrometheusMetrics:
    """A registry of its own, so that two services in one test process do not share counters. `component`: which
    service it is."""

    def __init__(self, component: Service = "router") -> None:
        self._component = component
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._gauges: dict[str, Gauge] = {}
        self._merged = {metric.name: _Merged(metric) for metric in names.MERGED}
        for collector in self._merged.values():
            self._registry.register(collector)
        for metric in names.ALL:
            name, labels = metric.prometheus_name, metric.prometheus_labels
            if metric.kind == "counter":
                self._counters[metric.name] = Counter(name, metric.help, labels, registry=self._registry)
            elif metric.name in self._merged:
                continue
            elif metric.kind == "histogram":
                self._histograms[metric.name] = Histogram(
                    name, metric.help, labels, buckets=metric.buckets, registry=self._registry
                )
            else:
                self._gauges[metric.name] = Gauge(name, metric.help, labels, registry=self._registry)

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        counter = self._counters[metric.name]
        (counter.labels(*self._values(metric, dimensions)) if metric.dimensions else counter).inc(amount)

    def observe(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        histogram = self._histograms[metric.name]
        (histogram.labels(*self._values(metric, dimensions)) if metric.dimensions else histogram).observe(value)

    def merge(self, metric: Metric, values: Distribution, /, **dimensions: str) -> None:
        self._merged[metric.name].merge(values, tuple(self._values(metric, dimensions)))

    def forget_tenant(self, tenant: str) -> None:
        """Its series end here: it has no value of its own any more."""
        for metric in names.ALL:
            if "tenant" not in metric.dimensions:
                continue
            if metric.name in self._merged:
                self._merged[metric.name].forget("tenant", tenant)
            else:
                found = self._counters.get(metric.name) or self._histograms.get(metric.name)
                assert found is not None  # noqa: S101  gauges have no tenant, as a test has it
                found.remove_by_labels({"tenant": tenant})

    def gauge(self, metric: Metric, delta: float, /, **dimensions: str) -> None:
        self._gauge(metric, dimensions).inc(delta)

    def level(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        self._gauge(metric, dimensions).set(value)

    def _gauge(self, metric: Metric, dimensions: dict[str, str]) -> Gauge:
        gauge = self._gauges[metric.name]
        return gauge.labels(*self._values(metric, dimensions)) if metric.dimensions else gauge

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)

    def _values(self, metric: Metric, dimensions: dict[str, str]) -> list[str]:
        found = [dimensions.get(name, "") for name in metric.dimensions]
        return [*found, self._component] if metric.of_requests else found
