"""The metrics port, and the null implementation for tests and for code that runs without a sink."""

from __future__ import annotations

from typing import Protocol

from observability.distribution import Distribution
from observability.names import Metric


class Metrics(Protocol):
    """A sink. Dimensions are given by name; a missing one is recorded as an empty string."""

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None: ...

    def observe(self, metric: Metric, value: float, /, **dimensions: str) -> None: ...

    def merge(self, metric: Metric, values: Distribution, /, **dimensions: str) -> None:
        """Observe many at once."""
        ...

    def gauge(self, metric: Metric, delta: float, /, **dimensions: str) -> None:
        """Move a gauge up or down by `delta`."""
        ...

    def level(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        """Set a gauge to what was measured."""
        ...


class ExposedMetrics(Metrics, Protocol):
    """A sink that `/metrics` can be asked of."""

    def render(self) -> bytes:
        """Prometheus' text exposition format."""
        ...


class NullMetrics:
    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        pass

    def observe(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        pass

    def merge(self, metric: Metric, values: Distribution, /, **dimensions: str) -> None:
        pass

    def gauge(self, metric: Metric, delta: float, /, **dimensions: str) -> None:
        pass

    def level(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        pass
