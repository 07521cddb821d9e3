"""What a service records its metrics with: every sink gets them, with bounded values for the tenants."""

from __future__ import annotations

from observability.distribution import Distribution
from observability.metrics import Metrics
from observability.names import Metric, Service
from observability.prometheus import PrometheusMetrics
from observability.tenant_labels import TenantLabels

TOP_TENANTS = 50


class ServiceMetrics:
    """`sinks` beside Prometheus, which every service has. `component`: which service it is."""

    def __init__(self, *sinks: Metrics, top_tenants: int = TOP_TENANTS, component: Service = "router") -> None:
        self._prometheus = PrometheusMetrics(component)
        self._sinks: tuple[Metrics, ...] = (self._prometheus, *sinks)
        self._tenants = TenantLabels(top_tenants, forget=self._prometheus.forget_tenant)

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        self._bound(dimensions)
        for sink in self._sinks:
            sink.count(metric, amount, **dimensions)

    def observe(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        self._bound(dimensions)
        for sink in self._sinks:
            sink.observe(metric, value, **dimensions)

    def merge(self, metric: Metric, values: Distribution, /, **dimensions: str) -> None:
        self._bound(dimensions)
        for sink in self._sinks:
            sink.merge(metric, values, **dimensions)

    def gauge(self, metric: Metric, delta: float, /, **dimensions: str) -> None:
        for sink in self._sinks:
            sink.gauge(metric, delta, **dimensions)

    def level(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        for sink in self._sinks:
            sink.level(metric, value, **dimensions)

    def render(self) -> bytes:
        return self._prometheus.render()

    def _bound(self, dimensions: dict[str, str]) -> None:
        tenant = dimensions.get("tenant")
        if tenant:
            dimensions["tenant"] = self._tenants.of(tenant)
