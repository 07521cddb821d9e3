"""Recording rules of the SLOs, and every alarm as an alerting rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from observability.monitoring.alarm import Alarm, window
from observability.monitoring.promql import alert_name, bad_share, condition
from observability.monitoring.signals import Level
from observability.monitoring.slo import BURNS, BurnAlarm, Slo

Json = dict[str, Any]


def document(alarms: Iterable[Alarm], slos: Iterable[Slo], burns: Iterable[BurnAlarm]) -> Json:
    return {
        "groups": [
            {"name": "atrium-slo", "interval": "30s", "rules": [rule for slo in slos for rule in _recorded(slo)]},
            {"name": "atrium-slo-alarms", "rules": [_burning(burn) for burn in burns]},
            {"name": "atrium-alarms", "rules": [_alerting(alarm) for alarm in alarms]},
        ]
    }


def custom_resource(rules: Json) -> Json:
    """For the Prometheus operator, which checks it, and renders `$` itself: there is none."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "atrium", "namespace": "atrium"},
        "spec": rules,
    }


def _recorded(slo: Slo) -> list[Json]:
    windows = sorted({length for burn in BURNS for length in (burn.long_s, burn.short_s)})
    return [
        {"record": _record(length), "labels": {"slo": slo.name}, "expr": bad_share(slo.bad, window(length))}
        for length in windows
    ]


def _record(seconds: int) -> str:
    return f"slo:bad_share:{window(seconds)}"


def _burning(alarm: BurnAlarm) -> Json:
    slo, burn = alarm.slo, alarm.burn
    expr = " and ".join(
        f'{_record(length)}{{slo="{slo.name}"}} > {slo.threshold(burn):g}' for length in (burn.long_s, burn.short_s)
    )
    return _alert(alarm, expr)


def _alerting(alarm: Alarm) -> Json:
    """A gauge is looked at at each evaluation; what grows has its window, and must hold for those after the first."""
    in_a_row = alarm.windows if isinstance(alarm.signal, Level) else alarm.windows - 1
    return _alert(alarm, condition(alarm), for_s=in_a_row * alarm.window_s)


def _alert(alarm: Alarm | BurnAlarm, expr: str, *, for_s: int = 0) -> Json:
    return {
        "alert": alert_name(alarm.name),
        "expr": expr,
        **({"for": window(for_s)} if for_s else {}),
        "labels": {"severity": alarm.severity},
        "annotations": {"summary": alarm.says, "runbook": alarm.runbook},
    }
