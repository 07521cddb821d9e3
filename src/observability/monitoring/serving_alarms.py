"""Alarms of what requests pass through: the services and the engines."""

from __future__ import annotations

from contracts.pools import DEFAULT_POOL
from observability import names
from observability.monitoring.alarm import MINUTE, QUARTER, Alarm, lost
from observability.monitoring.signals import Level, Percentile, Share, Total

_REQUESTS = Total(names.REQUEST_COUNT)

SILENCE = tuple(
    Alarm(
        f"no-data-{service}",
        f"No process of the {service} has told a metric for five minutes.",
        "page",
        Level(names.PROCESSES_UP, "Maximum", (("component", service),)),
        "below",
        1,
        "alarming",
        window_s=MINUTE,
        windows=5,
    )
    for service in names.SERVICES
)

REQUESTS = (
    Alarm(
        "error-rate",
        "More than one request in ten fails through no fault of its client's.",
        "page",
        Share(Total(names.FAULT_COUNT), _REQUESTS, 20),
        "above",
        0.1,
        "fine",
        windows=2,
    ),
    Alarm(
        "first-token-p95",
        "One answer in twenty begins after more than ten seconds.",
        "page",
        Percentile(names.TIME_TO_FIRST_TOKEN, 95, 20),
        "above",
        10,
        "fine",
        windows=2,
    ),
    Alarm(
        "throttling-spike",
        "More than three requests in ten are over a limit.",
        "ticket",
        Share(Total(names.THROTTLED_COUNT), _REQUESTS, 100),
        "above",
        0.3,
        "fine",
        window_s=QUARTER,
    ),
    Alarm(
        "refusal-spike",
        "More than three requests in ten are refused by a rule or by moderation.",
        "ticket",
        Share(Total(names.REFUSAL_COUNT), _REQUESTS, 100),
        "above",
        0.3,
        "fine",
        window_s=QUARTER,
    ),
    Alarm(
        "answers-without-documents",
        "More than one request in twenty is answered without the RAG service.",
        "page",
        Share(Total(names.DEGRADED), _REQUESTS, 20),
        "above",
        0.05,
        "fine",
        windows=2,
        unless=("no-data-rag",),
    ),
    lost(
        "cross-tenant-drop",
        "A passage of another tenant was found in an index, and dropped.",
        "page",
        Total(names.CROSS_TENANT_DROP),
    ),
)

ENGINES = (
    Alarm(
        "engine-gone",
        "No replica of the shared engine pool is usable.",
        "page",
        Level(names.ENGINE_REPLICAS, "Maximum", (("pool", DEFAULT_POOL), ("state", "usable"))),
        "below",
        1,
        "unknown",
        window_s=MINUTE,
        windows=3,
    ),
    Alarm(
        "engine-ejections",
        "Replicas of an engine pool keep failing and are taken out.",
        "ticket",
        Total(names.ENGINE_EJECTION),
        "at_least",
        5,
        "fine",
        window_s=QUARTER,
        unless=("engine-gone",),
    ),
    Alarm(
        "queue-depth",
        "More than 100 requests have been waiting in the routers for a place in an engine.",
        "ticket",
        Level(names.QUEUE_DEPTH, "Sum"),
        "above",
        100,
        "unknown",
        window_s=MINUTE,
        windows=10,
        unless=("engine-gone",),
    ),
    Alarm(
        "queue-time",
        "One request in twenty waits longer than ten seconds for a place in an engine.",
        "ticket",
        Percentile(names.QUEUE_TIME, 95, 20),
        "above",
        10,
        "fine",
        windows=2,
        unless=("engine-gone",),
    ),
    Alarm(
        "engine-queue-depth",
        "More than 64 requests have been waiting in the engines' own queues, where no tenant's share counts.",
        "ticket",
        Level(names.ENGINE_QUEUE_DEPTH, "Maximum"),
        "above",
        64,
        "unknown",
        window_s=MINUTE,
        windows=10,
    ),
    Alarm(
        "kv-cache-full",
        "A replica's KV cache has been more than 95 % full.",
        "ticket",
        Level(names.KV_CACHE_USAGE, "Maximum"),
        "above",
        0.95,
        "unknown",
        window_s=MINUTE,
        windows=10,
    ),
)
