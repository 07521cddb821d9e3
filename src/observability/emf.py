"""CloudWatch's embedded metric format: metrics as lines of a log, which CloudWatch (or its agent) makes metrics of.

The format and its limits: "Specification: Embedded metric format" in the CloudWatch user guide. A distribution is an
object of Values and Counts, as CloudWatch's agent and the OpenTelemetry collector write it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import orjson

from observability.distribution import Distribution
from observability.interval import Series
from observability.names import NAMESPACE, NO_VALUE, Metric, Service, Unit

MAX_METRICS, MAX_DIMENSIONS, MAX_VALUES, MAX_BYTES = 100, 30, 100, 256 * 1024
MAX_DIMENSION_CHARS = 250
UNITS: dict[Unit, str] = {
    "seconds": "Seconds",
    "tokens": "Count",
    "usd": "None",
    "bytes": "Bytes",
    "count": "Count",
    "ratio": "None",
}
_METRIC_BYTES, _VALUE_BYTES = 2_400, 48
"""Generous bounds of what a metric and each of its values take."""
_ROOM = MAX_BYTES - MAX_DIMENSIONS * 2 * MAX_DIMENSION_CHARS - 2_048

_Group = tuple[tuple[tuple[str, ...], ...], tuple[str, ...], tuple[str, ...]]
T = TypeVar("T")


def documents(found: Iterable[Series], *, service: Service, at_ms: int) -> Iterator[bytes]:
    """One line each, without its end. Metrics with the same dimensions share one, as far as the limits let them."""
    groups: dict[_Group, list[tuple[Metric, object]]] = {}
    for series in found:
        how = series.metric.cloudwatch
        if how is not None:
            members = groups.setdefault((how.sets, how.dimensions, series.values), [])
            members.extend((series.metric, value) for value in _values(series.found))
    for (sets, dimensions, values), members in groups.items():
        named = {name: dimension_value(value) for name, value in zip(dimensions, values, strict=True)}
        for some in _documents(members):
            yield _document(sets, named, some, service, at_ms)


def dimension_value(value: str) -> str:
    """As CloudWatch takes it: 1 to 250 printable ASCII characters, and no colon at the beginning."""
    kept = "".join(char if "\x20" <= char <= "\x7e" else "?" for char in value[:MAX_DIMENSION_CHARS]).strip()
    return kept.replace(":", "?", 1) if kept.startswith(":") else kept or NO_VALUE


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _values(found: float | Distribution) -> Iterator[object]:
    if not isinstance(found, Distribution):
        yield found
        return
    for some in chunks(found, MAX_VALUES):
        numbers = [number for _, number in some]
        yield {
            "Values": [value for value, _ in some],
            "Counts": numbers,
            "Max": some[-1][0],
            "Min": some[0][0],
            "Count": sum(numbers),
            "Sum": sum(value * number for value, number in some),
        }


def _documents(members: Sequence[tuple[Metric, object]]) -> Iterator[list[tuple[Metric, object]]]:
    """A name occurs once in a document: what is left of a long distribution comes in another."""
    waiting = list(members)
    while waiting:
        some: dict[str, tuple[Metric, object]] = {}
        left: list[tuple[Metric, object]] = []
        size = 0
        for metric, value in waiting:
            needs = _METRIC_BYTES + _VALUE_BYTES * (len(value["Values"]) if isinstance(value, dict) else 1)
            if metric.name in some or len(some) == MAX_METRICS or (some and size + needs > _ROOM):
                left.append((metric, value))
            else:
                some[metric.name] = (metric, value)
                size += needs
        yield list(some.values())
        waiting = left


def _document(
    sets: Sequence[Sequence[str]],
    named: dict[str, str],
    members: Sequence[tuple[Metric, object]],
    service: Service,
    at_ms: int,
) -> bytes:
    metrics = [{"Name": metric.name, "Unit": UNITS[metric.unit]} for metric, _ in members]
    entry: dict[str, Any] = {
        "_aws": {
            "Timestamp": at_ms,
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": metrics}],
        },
        "service": service,
        **named,
        **{metric.name: value for metric, value in members},
    }
    return orjson.dumps(entry)
