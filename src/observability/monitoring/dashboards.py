"""What is shown where, declared once: fleet, tenant, engine, money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from observability import names
from observability.monitoring.signals import Level, Peak, Percentile, Share, Signal, Total, Where
from observability.names import Metric

Unit = Literal["count", "seconds", "ratio", "usd"]
TENANT = "tenant-of-this-dashboard"
"""Stands in the tenants' dashboard for the tenant that its reader chooses."""
HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Line:
    """One line, or with `by` one for each value of that dimension."""

    signal: Signal
    label: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """`period_s`: what is counted is told per this. `width` of 24 columns."""

    title: str
    lines: tuple[Line, ...]
    unit: Unit = "count"
    period_s: int = 60
    width: int = 8
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    name: str
    title: str
    rows: tuple[Row, ...]
    of_tenant: bool = False


def _by(metric: Metric, dimension: str, where: Where = ()) -> tuple[Line, ...]:
    return (Line(Total(metric, where), "", dimension),)


def _percentiles(metric: Metric, *percents: float, where: Where = ()) -> tuple[Line, ...]:
    return tuple(Line(Percentile(metric, percent, where=where), f"p{percent:g}") for percent in percents)


def _faults(where: Where = ()) -> Line:
    return Line(Share(Total(names.FAULT_COUNT, where), Total(names.REQUEST_COUNT, where), 1), "failed")


_FLEET = Dashboard(
    "fleet",
    "Atrium: fleet",
    (
        Row(
            "Requests",
            (
                Panel("Requests per minute", _by(names.REQUEST_COUNT, "tenant"), stacked=True),
                Panel("Failed through a fault of ours", (_faults(),), "ratio"),
                Panel("Errors per minute, by code", _by(names.ERROR_COUNT, "reason"), stacked=True),
            ),
        ),
        Row(
            "Time",
            (
                Panel("To the first token", _percentiles(names.TIME_TO_FIRST_TOKEN, 50, 95, 99), "seconds"),
                Panel("From token to token", _percentiles(names.INTER_TOKEN_LATENCY, 50, 95, 99), "seconds"),
                Panel("Waiting for a place", _percentiles(names.QUEUE_TIME, 50, 95, 99), "seconds"),
            ),
        ),
        Row(
            "Turned away",
            (
                Panel("Over a limit per minute, by limit", _by(names.THROTTLED_COUNT, "reason"), stacked=True),
                Panel("Refused per minute, by reason", _by(names.REFUSAL_COUNT, "reason"), stacked=True),
                Panel("Answered without documents per minute, by step", _by(names.DEGRADED, "step"), stacked=True),
            ),
        ),
        Row(
            "Stores and services",
            (
                Panel("Failed calls per minute, by dependency", _by(names.DEPENDENCY_FAILURE, "dependency")),
                Panel("Routers that limit by themselves", (Line(Level(names.LIMITER_LOCAL, "Sum"), "routers"),)),
                Panel("Processes that live", (Line(Level(names.PROCESSES_UP, "Sum"), "", "component"),)),
            ),
        ),
        Row(
            "Must stay zero",
            (
                Panel(
                    "Tenants",
                    (
                        Line(Total(names.CROSS_TENANT_DROP), "passages of another tenant"),
                        Line(Total(names.LEDGER_FAILURE, (("reason", "rejected"),)), "usage events not kept"),
                        Line(Total(names.MEMORY_DROPPED), "turns not kept"),
                        Line(Total(names.TENANT_METRICS_DROPPED), "hours of tenants' metrics"),
                    ),
                ),
                Panel("Background jobs that failed per minute", _by(names.HOUSEKEEPING_FAILURE, "job")),
                Panel("Telemetry lost per minute, by sink", _by(names.TELEMETRY_DROPPED, "sink")),
            ),
        ),
    ),
)

_WHERE = (("tenant", TENANT),)
_TENANT = Dashboard(
    "tenant",
    "Atrium: one tenant",
    (
        Row(
            "Requests",
            (
                Panel("Requests per minute, by route", _by(names.REQUEST_COUNT, "route", _WHERE), stacked=True),
                Panel("Failed through a fault of ours", (_faults(_WHERE),), "ratio"),
                Panel("Errors per minute", (Line(Total(names.ERROR_COUNT, _WHERE), "errors"),)),
            ),
        ),
        Row(
            "Time",
            (
                Panel("Whole requests", _percentiles(names.REQUEST_LATENCY, 50, 95, 99, where=_WHERE), "seconds"),
                Panel(
                    "To the first token", _percentiles(names.TIME_TO_FIRST_TOKEN, 50, 95, 99, where=_WHERE), "seconds"
                ),
                Panel("Waiting for a place", _percentiles(names.QUEUE_TIME, 50, 95, 99, where=_WHERE), "seconds"),
            ),
        ),
        Row(
            "Limits and rules",
            (
                Panel("Over a limit per minute, by limit", _by(names.THROTTLED_COUNT, "reason", _WHERE), stacked=True),
                Panel("Refused per minute", (Line(Total(names.REFUSAL_COUNT, _WHERE), "refused"),)),
                Panel("Budget of the month used", (Line(Peak(names.BUDGET_USED, _WHERE), "used"),), "ratio"),
            ),
        ),
        Row(
            "Use",
            (
                Panel("Tokens per minute", (Line(Total(names.TOKEN_USAGE, _WHERE), "tokens"),), width=12),
                Panel("Cost per hour", (Line(Total(names.COST_ESTIMATE, _WHERE), "USD"),), "usd", HOUR, 12),
            ),
        ),
    ),
    of_tenant=True,
)

_ENGINE = Dashboard(
    "engine",
    "Atrium: engines",
    (
        Row(
            "Load",
            (
                Panel("Answers being produced", (Line(Level(names.ACTIVE_STREAMS, "Sum"), "answers"),)),
                Panel("Waiting in the routers", (Line(Level(names.QUEUE_DEPTH, "Sum"), "", "pool"),), stacked=True),
                Panel("Waiting in the engines", (Line(Level(names.ENGINE_QUEUE_DEPTH, "Maximum"), "", "pool"),)),
            ),
        ),
        Row(
            "Caches and replicas",
            (
                Panel(
                    "KV cache of the fullest replica",
                    (Line(Level(names.KV_CACHE_USAGE, "Maximum"), "", "pool"),),
                    "ratio",
                ),
                Panel(
                    "Replicas of the shared pool",
                    tuple(
                        Line(Level(names.ENGINE_REPLICAS, "Maximum", (("pool", "pooled"), ("state", state))), state)
                        for state in ("usable", "ejected", "unreachable", "draining")
                    ),
                ),
                Panel("Ejections per minute, by pool", _by(names.ENGINE_EJECTION, "pool")),
            ),
        ),
        Row(
            "Speed",
            (
                Panel(
                    "Waiting for a place, p95 by pool", (Line(Percentile(names.QUEUE_TIME, 95), "", "pool"),), "seconds"
                ),
                Panel("From token to token", _percentiles(names.INTER_TOKEN_LATENCY, 50, 95, 99), "seconds"),
                Panel("Tokens per minute", (Line(Total(names.TOKEN_USAGE), "tokens"),)),
            ),
        ),
    ),
)

_MONEY = Dashboard(
    "money",
    "Atrium: money",
    (
        Row(
            "Use",
            (
                Panel("Cost per hour", _by(names.COST_ESTIMATE, "tenant"), "usd", HOUR, 12, stacked=True),
                Panel("Tokens per minute", _by(names.TOKEN_USAGE, "tenant"), width=12, stacked=True),
            ),
        ),
        Row(
            "Budgets",
            (
                Panel("Budget of the month used", (Line(Peak(names.BUDGET_USED), "", "tenant"),), "ratio", width=12),
                Panel(
                    "Turned away for a budget per minute",
                    (Line(Total(names.THROTTLED_COUNT, (("reason", "monthly_budget_usd"),)), "requests"),),
                    width=12,
                ),
            ),
        ),
        Row(
            "The ledger",
            (
                Panel("Events that wait", (Line(Level(names.LEDGER_BACKLOG, "Sum"), "events"),)),
                Panel("The oldest of them", (Line(Level(names.LEDGER_LAG, "Maximum"), "waits"),), "seconds"),
                Panel("Batches that failed per minute, by reason", _by(names.LEDGER_FAILURE, "reason")),
            ),
        ),
    ),
)

DASHBOARDS: tuple[Dashboard, ...] = (_FLEET, _TENANT, _ENGINE, _MONEY)
