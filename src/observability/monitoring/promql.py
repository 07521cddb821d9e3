"""Signals as PromQL."""

from __future__ import annotations

from collections.abc import Sequence

from observability.monitoring.alarm import Alarm, Comparison, window
from observability.monitoring.signals import Level, Peak, Percentile, Share, Signal, Slower, Total, Where
from observability.names import COMPONENT, Metric

OPERATORS: dict[Comparison, str] = {"above": ">", "at_least": ">=", "below": "<"}
GAP = "1h"
RATE = "$__rate_interval"
"""Grafana's: long enough for a rate at the zoom that is looked at."""


def selector(name: str, where: Where = ()) -> str:
    labels = ",".join(f'{label}="{value}"' for label, value in where)
    return f"{name}{{{labels}}}" if labels else name


def selected(metric: Metric, where: Where = (), end: str = "") -> str:
    """A metric's series, of the one service that stands for all where each tells it of its own requests: of all three
    a chat would be three, and a router's look at the pools, twice a second, a request."""
    stands = ((COMPONENT, metric.cloudwatch.sent_by[0]),) if metric.of_requests and metric.cloudwatch else ()
    return selector(metric.prometheus_name + end, (*where, *stands))


def edge(metric: Metric, value: float) -> str:
    """A bucket's edge as the client library writes it. Raises ValueError for one that the metric does not have."""
    if value not in metric.buckets:
        raise ValueError(f"{metric.name} has no bucket that ends at {value}")
    return str(float(value))


def grown(series: str, over: str, by: Sequence[str] = ()) -> str:
    """How much counters grew. A series that was not there before has grown by all that it says: `increase` alone
    does not see the first error of a kind. Not there: not within an hour, as Prometheus itself may have been away."""
    new = f"{series} unless last_over_time({series}[{GAP}] offset {over})"
    return f"{_sum(by)}(({new}) or increase({series}[{over}]))"


def condition(alarm: Alarm) -> str:
    found = _compared(alarm)
    for cause in alarm.unless:
        found += f' unless on () ALERTS{{alertname="{alert_name(cause)}",alertstate="firing"}}'
    return found


def alert_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))


def bad_share(bad: Share | Slower, over: str) -> str:
    """Nothing where there were too few requests."""
    if isinstance(bad, Share):
        part = grown(selected(bad.part.metric, bad.part.where), over)
        whole = grown(selected(bad.whole.metric, bad.whole.where), over)
        return f"({part} or vector(0)) / ({whole} >= {bad.at_least})"
    within = grown(selected(bad.metric, (("le", edge(bad.metric, bad.than)),), "_bucket"), over)
    return f"1 - {within} / ({grown(selected(bad.metric, end='_count'), over)} >= {bad.at_least})"


def shown(signal: Signal, *, period_s: int, by: Sequence[str] = ()) -> str:
    """For a panel: what is counted is told per `period_s`."""
    match signal:
        case Total():
            scale = f"{period_s} * " if period_s != 1 else ""
            return f"{scale}{_sum(by)}(rate({selected(signal.metric, signal.where)}[{RATE}]))"
        case Level():
            over = "max" if signal.over == "Maximum" else "sum"
            return f"{over}{_by(by)}({selected(signal.metric, signal.where)})"
        case Percentile():
            return _quantile(signal, RATE, by)
        case Peak():
            return _quantile(Percentile(signal.metric, 100, where=signal.where), RATE, by)
        case Share():
            part, whole = (shown(one, period_s=1, by=by) for one in (signal.part, signal.whole))
            return f"{part} / {whole}"
        case Slower():
            return bad_share(signal, RATE)


def _compared(alarm: Alarm) -> str:
    signal, over = alarm.signal, window(alarm.window_s)
    than = f"{OPERATORS[alarm.when]} {alarm.threshold:g}"
    match signal:
        case Total():
            return f"{grown(selected(signal.metric, signal.where), over)} {than}"
        case Level():
            level = shown(signal, period_s=1)
            return f"({level} or vector(0)) {than}" if alarm.missing == "alarming" else f"{level} {than}"
        case Percentile():
            enough = f"{grown(selected(signal.metric, signal.where, '_count'), over)} >= {signal.at_least}"
            return f"{_quantile(signal, over)} {than} and {enough}"
        case Peak():
            return _peak(signal, alarm, over)
        case Share() | Slower():
            return f"{bad_share(signal, over)} {than}"


def _peak(signal: Peak, alarm: Alarm, over: str) -> str:
    """More observations than are at or below the threshold, and of whom."""
    if alarm.when != "above":
        raise ValueError("buckets tell what is above their edge")
    metric, by = signal.metric, signal.metric.dimensions
    below = (*signal.where, ("le", edge(metric, alarm.threshold)))
    seen, within = selected(metric, signal.where, "_count"), selected(metric, below, "_bucket")
    return f"{grown(seen, over, by)} - {grown(within, over, by)} > 0"


def _quantile(signal: Percentile, over: str, by: Sequence[str] = ()) -> str:
    buckets = selected(signal.metric, signal.where, "_bucket")
    return f"histogram_quantile({signal.percent / 100:g}, {_sum(('le', *by))}(rate({buckets}[{over}])))"


def _sum(by: Sequence[str]) -> str:
    return f"sum{_by(by)}"


def _by(by: Sequence[str]) -> str:
    return f" by ({', '.join(by)}) " if by else ""
