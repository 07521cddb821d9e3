"""Alarms of what is kept: money, stores, and the work behind requests."""

from __future__ import annotations

from observability import names
from observability.monitoring.alarm import HOUR, MINUTE, QUARTER, Alarm, Severity, lost
from observability.monitoring.signals import Level, Peak, Percentile, Total

_POSTGRES = "postgres-unreachable"


def _unreachable(dependency: str, called: str, severity: Severity, *, at_least: int = 10) -> Alarm:
    return Alarm(
        f"{dependency.replace('_', '-')}-unreachable",
        f"Calls to {called} have been failing for ten minutes.",
        severity,
        Total(names.DEPENDENCY_FAILURE, (("dependency", dependency),)),
        "at_least",
        at_least,
        "fine",
        windows=2,
    )


MONEY = (
    Alarm(
        "budget-80",
        "A tenant has used more than 80 % of its budget of the month.",
        "ticket",
        Peak(names.BUDGET_USED),
        "above",
        0.8,
        "fine",
    ),
    Alarm(
        "budget-100",
        "A tenant is turned away, since its budget of the month is used up.",
        "ticket",
        Total(names.THROTTLED_COUNT, (("reason", "monthly_budget_usd"),)),
        "at_least",
        1,
        "fine",
    ),
    Alarm(
        "ledger-lag",
        "A usage event has been waiting for more than 30 seconds to be committed.",
        "page",
        Level(names.LEDGER_LAG, "Maximum"),
        "above",
        30,
        "unknown",
        window_s=MINUTE,
        windows=3,
        unless=(_POSTGRES,),
    ),
    Alarm(
        "ledger-backlog",
        "Half of the usage events are waiting with which a router stops admitting requests.",
        "page",
        Level(names.LEDGER_BACKLOG, "Maximum"),
        "above",
        2_500,
        "unknown",
        window_s=MINUTE,
        windows=2,
    ),
    lost(
        "ledger-dead-letters",
        "The ledger cannot keep a usage event: it is in the log alone, to be billed by hand.",
        "page",
        Total(names.LEDGER_FAILURE, (("reason", "rejected"),)),
    ),
)

STORES = (
    Alarm(
        _POSTGRES,
        "Calls to PostgreSQL have been failing for five minutes.",
        "page",
        Total(names.DEPENDENCY_FAILURE, (("dependency", "postgres"),)),
        "at_least",
        3,
        "fine",
        window_s=MINUTE,
        windows=5,
    ),
    _unreachable("object_store", "the object store", "ticket"),
    _unreachable("jwks", "the issuer of the JWTs", "page", at_least=3),
    Alarm(
        "valkey-unreachable",
        "A router keeps limits by itself: Valkey is out of its reach.",
        "page",
        Level(names.LIMITER_LOCAL, "Maximum"),
        "at_least",
        1,
        "unknown",
        window_s=MINUTE,
        windows=3,
    ),
    Alarm(
        "moderation-unavailable",
        "Texts that a tenant wants moderated get no verdict, and are refused or let through unseen.",
        "ticket",
        Total(names.DEPENDENCY_FAILURE, (("dependency", "moderation"),)),
        "at_least",
        20,
        "fine",
        windows=2,
    ),
    Alarm(
        "memory-unavailable",
        "Questions are answered without what was said before in their sessions.",
        "ticket",
        Total(names.MEMORY_RECALL, (("source", "unavailable"),)),
        "at_least",
        20,
        "fine",
        windows=2,
        unless=(_POSTGRES,),
    ),
)

BACKGROUND = (
    Alarm(
        "housekeeping-failing",
        "A background job (deletion, retention, archive, compaction) has been failing for half an hour.",
        "ticket",
        Total(names.HOUSEKEEPING_FAILURE),
        "at_least",
        3,
        "fine",
        window_s=QUARTER,
        windows=2,
        unless=(_POSTGRES,),
    ),
    Alarm(
        "ingestion-failing",
        "More than ten uploads have failed within an hour.",
        "ticket",
        Total(names.INGEST_JOBS, (("reason", "failed"),)),
        "above",
        10,
        "fine",
        window_s=HOUR,
    ),
    lost(
        "snapshot-damaged",
        "A snapshot of an index is not what was written: its disk is failing, or somebody changed it.",
        "ticket",
        Total(names.SNAPSHOT_FAULT, (("reason", "damaged"),)),
    ),
    Alarm(
        "index-recall",
        "Approximate searches miss more than one in ten of the nearest passages in one search of ten.",
        "ticket",
        Percentile(names.INDEX_RECALL, 10, 20),
        "below",
        0.9,
        "fine",
        window_s=HOUR,
    ),
    lost("turns-dropped", "Turns of conversations were told and are not kept.", "ticket", Total(names.MEMORY_DROPPED)),
    lost(
        "rule-hits-lost",
        "Rule hits could not be written to tenants' audit logs.",
        "ticket",
        Total(names.RULE_HIT_DROPPED, (("reason", "failed"),)),
    ),
    lost(
        "tenant-metrics-dropped",
        "Hours of tenants' own metrics are lost.",
        "ticket",
        Total(names.TENANT_METRICS_DROPPED),
    ),
    Alarm(
        "telemetry-dropped",
        "Metrics, logs, spans or runs do not reach their sink.",
        "ticket",
        Total(names.TELEMETRY_DROPPED),
        "at_least",
        1,
        "fine",
        windows=3,
    ),
)
