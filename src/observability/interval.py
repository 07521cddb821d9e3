"""What CloudWatch is to hear of one interval: gathered while requests are served, taken away once at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from observability import names
from observability.distribution import Distribution
from observability.names import Metric, Service

MAX_SERIES = 10_000
"""Of one interval; what would be one more is dropped, and counted."""

_Key = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Series:
    """One metric with one value for each of its CloudWatch dimensions: a sum, a level, or a distribution."""

    metric: Metric
    values: tuple[str, ...]
    found: float | Distribution


class Interval:
    """A `Metrics` sink for the metrics that this service sends. May be used from every thread."""

    def __init__(self, service: Service, *, dropped: Callable[[int, str], None], max_series: int = MAX_SERIES) -> None:
        self._sent = {
            metric.name: metric.cloudwatch.dimensions
            for metric in names.ALL
            if metric.cloudwatch and service in metric.cloudwatch.sent_by
        }
        self._dropped = dropped
        self._max_series = max_series
        self._sums: dict[_Key, float] = {}
        self._distributions: dict[_Key, Distribution] = {}
        self._gauges: dict[_Key, float] = {}
        self._lock = Lock()

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        key = self._key(metric, dimensions)
        if key is None:
            return
        with self._lock:
            known = self._sums.get(key)
            if known is not None or self._room():
                self._sums[key] = (known or 0.0) + amount
                return
        if metric is not names.TELEMETRY_DROPPED:  # that there is no room for it cannot be told through itself
            self._dropped(1, "series")

    def observe(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        key = self._key(metric, dimensions)
        if key is not None and not self._add(key, value):
            self._dropped(1, "series")

    def merge(self, metric: Metric, values: Distribution, /, **dimensions: str) -> None:
        key = self._key(metric, dimensions)
        if key is not None and not self._add(key, values):
            self._dropped(1, "series")

    def gauge(self, metric: Metric, delta: float, /, **dimensions: str) -> None:
        key = self._key(metric, dimensions)
        if key is not None:
            with self._lock:
                self._gauges[key] = self._gauges.get(key, 0.0) + delta

    def level(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        key = self._key(metric, dimensions)
        if key is not None:
            with self._lock:
                self._gauges[key] = value

    def take(self) -> list[Series]:
        """All of it; what is counted begins anew, gauges stay where they are."""
        with self._lock:
            sums, self._sums = self._sums, {}
            distributions, self._distributions = self._distributions, {}
            gauges = dict(self._gauges)
        by_name = {metric.name: metric for metric in names.ALL}
        found: list[tuple[_Key, float | Distribution]] = [*sums.items(), *gauges.items(), *distributions.items()]
        return [Series(by_name[name], values, value) for (name, values), value in found]

    def _add(self, key: _Key, value: float | Distribution) -> bool:
        with self._lock:
            found = self._distributions.get(key)
            if found is None:
                if not self._room():
                    return False
                found = self._distributions[key] = Distribution()
            if isinstance(value, Distribution):
                found.merge(value)
            else:
                found.add(value)
            return True

    def _key(self, metric: Metric, dimensions: dict[str, str]) -> _Key | None:
        wanted = self._sent.get(metric.name)
        return None if wanted is None else (metric.name, tuple([dimensions.get(name, "") for name in wanted]))

    def _room(self) -> bool:
        return len(self._sums) + len(self._distributions) < self._max_series
