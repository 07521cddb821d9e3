"""CloudWatch's `PutMetricData`: the same metrics for who runs without an agent that reads logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, cast

from observability.distribution import Distribution
from observability.emf import UNITS, chunks, dimension_value
from observability.interval import Series
from observability.names import NAMESPACE, Metric

MAX_DATA, MAX_VALUES, MAX_BYTES = 1_000, 150, 1_000_000
_NAME_BYTES, _VALUE_BYTES = 400, 64
"""Generous bounds of what a datum and each of its dimensions, and each of its values, take in the widest protocol."""

Datum = dict[str, Any]


def data(found: Iterable[Series], *, at: float) -> Iterator[Datum]:
    """A datum for each set of dimensions that is asked for; over the others it is added up here. `at`: Unix time."""
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Metric, float | Distribution]] = {}
    for series in found:
        how = series.metric.cloudwatch
        if how is None:
            continue
        named = dict(zip(how.dimensions, map(dimension_value, series.values), strict=True))
        for names in how.sets:
            key = series.metric.name, tuple((name, named[name]) for name in names)
            sums[key] = series.metric, _sum(series.metric, sums[key][1] if key in sums else None, series.found)
    when = datetime.fromtimestamp(at, UTC)
    for (_, dimensions), (metric, value) in sums.items():
        for values in _values(value):
            yield {
                "MetricName": metric.name,
                "Dimensions": [{"Name": name, "Value": text} for name, text in dimensions],
                "Timestamp": when,
                "Unit": UNITS[metric.unit],
                **values,
            }


def batches(found: Iterable[Datum]) -> Iterator[list[Datum]]:
    """As many data as one request may have, in number and in bytes."""
    batch: list[Datum] = []
    size = 0
    for datum in found:
        needs = _NAME_BYTES * (1 + len(datum["Dimensions"])) + _VALUE_BYTES * len(datum.get("Values", ()))
        if batch and (len(batch) == MAX_DATA or size + needs > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(datum)
        size += needs
    if batch:
        yield batch


def put(client: Any, batch: list[Datum]) -> None:
    """`client` is boto3's for CloudWatch, which compresses what is large. Raises what it raises."""
    client.put_metric_data(Namespace=NAMESPACE, MetricData=batch)


def _sum(metric: Metric, known: float | Distribution | None, more: float | Distribution) -> float | Distribution:
    """Of a ratio the largest stands for all."""
    if isinstance(more, Distribution):
        found = Distribution()
        if known is not None:
            found.merge(cast("Distribution", known))
        found.merge(more)
        return found
    if known is None:
        return more
    return max(cast("float", known), more) if metric.unit == "ratio" else cast("float", known) + more


def _values(value: float | Distribution) -> Iterator[dict[str, Any]]:
    if not isinstance(value, Distribution):
        yield {"Value": value}
        return
    for some in chunks(value, MAX_VALUES):
        yield {"Values": [one for one, _ in some], "Counts": [float(number) for _, number in some]}
