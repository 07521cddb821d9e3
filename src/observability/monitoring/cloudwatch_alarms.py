"""The alarms as the Terraform module `observability` reads them: metric alarms of queries, and composites of those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from observability.monitoring.alarm import Alarm, Comparison, Missing
from observability.monitoring.signals import Level, Peak, Percentile, Share, Signal, Slower, Total, Where
from observability.monitoring.slo import BurnAlarm
from observability.names import NAMESPACE, Metric

OPERATORS: dict[Comparison, str] = {
    "above": "GreaterThanThreshold",
    "at_least": "GreaterThanOrEqualToThreshold",
    "below": "LessThanThreshold",
}
MISSING: dict[Missing, str] = {"fine": "notBreaching", "unknown": "missing", "alarming": "breaching"}
SEEN = "-seen"
"""The end of the name of an alarm that another one may explain; the composite of both has the name itself."""

Json = dict[str, Any]


def document(alarms: Iterable[Alarm], burns: Iterable[BurnAlarm]) -> Json:
    metric_alarms: Json = {}
    composites: Json = {}
    for alarm in alarms:
        metric_alarms[_own_name(alarm)] = _metric_alarm(alarm, tells=not alarm.unless)
        if alarm.unless:
            composites[alarm.name] = _composite(alarm, all_of=[_own_name(alarm)], none_of=alarm.unless)
    for burn in burns:
        parts = burn.parts()
        metric_alarms |= {part.name: _metric_alarm(part, tells=False, belongs_to=burn) for part in parts}
        composites[burn.name] = _composite(burn, all_of=[part.name for part in parts])
    return {"metric_alarms": metric_alarms, "composite_alarms": composites}


def _own_name(alarm: Alarm) -> str:
    return alarm.name + SEEN if alarm.unless else alarm.name


def _composite(alarm: Alarm | BurnAlarm, *, all_of: Iterable[str], none_of: Iterable[str] = ()) -> Json:
    return {
        "description": f"{alarm.says} {alarm.runbook}",
        "severity": alarm.severity,
        "all_of": list(all_of),
        "none_of": list(none_of),
    }


def _metric_alarm(alarm: Alarm, *, tells: bool, belongs_to: BurnAlarm | None = None) -> Json:
    return {
        "description": f"{alarm.says} {(belongs_to or alarm).runbook}",
        "severity": alarm.severity,
        "tells": tells,
        "comparison_operator": OPERATORS[alarm.when],
        "threshold": alarm.threshold,
        "evaluation_periods": alarm.windows,
        "treat_missing_data": MISSING[alarm.missing],
        "queries": list(_queries(alarm)),
    }


def _queries(alarm: Alarm) -> Iterator[Json]:
    """The last one is what is compared. With too few requests it is what no alarm minds."""
    signal, period = alarm.signal, alarm.window_s
    calm = alarm.threshold if alarm.when == "below" else 0
    match signal:
        case Share():
            yield _metric("part", signal.part.metric, signal.part.where, "Sum", period)
            yield _metric("whole", signal.whole.metric, signal.whole.where, "Sum", period)
            yield _expression(f"IF(whole >= {signal.at_least}, FILL(part, 0) / whole, {calm:g})")
        case Percentile() if signal.at_least > 1:
            yield _metric("value", signal.metric, signal.where, statistic(signal), period)
            yield _metric("number", signal.metric, signal.where, "SampleCount", period)
            yield _expression(f"IF(number >= {signal.at_least}, value, {calm:g})")
        case Slower():
            raise ValueError("CloudWatch is asked for a percentile: slo.BurnAlarm.parts")
        case _:
            yield _metric("value", signal.metric, signal.where, statistic(signal), period)


def statistic(signal: Signal) -> str:
    """Of a distribution (Values and Counts) CloudWatch has every percentile."""
    match signal:
        case Total():
            return "Sum"
        case Level():
            return signal.over
        case Peak():
            return "Maximum"
        case Percentile():
            return f"p{signal.percent:g}"
        case _:
            raise ValueError(f"not one statistic: {signal}")


def _metric(identity: str, metric: Metric, where: Where, stat: str, period: int) -> Json:
    asked = {
        "namespace": NAMESPACE,
        "metric_name": metric.name,
        "dimensions": dict(where),
        "stat": stat,
        "period": period,
    }
    return {"id": identity, "metric": asked}


def _expression(text: str) -> Json:
    return {"id": "compared", "expression": text}
