"""What an alarm looks at and a panel shows: a metric, and what is made of it over a window.

Each signal is rendered twice, for CloudWatch and for Prometheus, so it says no more than both can do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from observability.names import Metric

Where = tuple[tuple[str, str], ...]
"""Dimensions with their values. In CloudWatch they are the whole set; Prometheus adds the others up."""
Over = Literal["Maximum", "Sum"]


@dataclass(frozen=True, slots=True)
class Total:
    """How much a counter grew."""

    metric: Metric
    where: Where = ()


@dataclass(frozen=True, slots=True)
class Level:
    """A gauge, over all processes: the largest, or their sum (of one interval of the metrics, so of 60 s)."""

    metric: Metric
    over: Over
    where: Where = ()


@dataclass(frozen=True, slots=True)
class Percentile:
    """Of what a histogram observed, where there were `at_least` so many observations."""

    metric: Metric
    percent: float
    at_least: int = 1
    where: Where = ()


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest that a histogram observed. Prometheus knows edges of buckets: a threshold must be one."""

    metric: Metric
    where: Where = ()


@dataclass(frozen=True, slots=True)
class Share:
    """One counter's growth by another's, where the other's was `at_least`: one of three requests tells little."""

    part: Total
    whole: Total
    at_least: int


@dataclass(frozen=True, slots=True)
class Slower:
    """The share of what a histogram observed that was larger than `than`, which must be an edge of a bucket."""

    metric: Metric
    than: float
    at_least: int


Signal = Total | Level | Percentile | Peak | Share | Slower


def metrics_of(signal: Signal) -> tuple[tuple[Metric, Where], ...]:
    if isinstance(signal, Share):
        return (signal.part.metric, signal.part.where), (signal.whole.metric, signal.whole.where)
    if isinstance(signal, Slower):
        return ((signal.metric, ()),)
    return ((signal.metric, signal.where),)
