"""Every metric, declared once: name, kind, unit, dimensions, help. `/metrics` is made from this list, and a test holds
the docs to it.

The dimension `route` is the intent of a chat, or the HTTP operation where there is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Unit = Literal["seconds", "tokens", "usd", "bytes", "count"]


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: Unit
    dimensions: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def prometheus_name(self) -> str:
        """`RequestLatency` in seconds becomes `atrium_request_latency_seconds`; a counter ends in `_total`."""
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.name).lower().removesuffix("_count")
        unit = "" if self.unit == "count" else f"_{self.unit}"
        total = "_total" if self.kind == "counter" else ""
        return f"atrium_{snake}{unit}{total}"


_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_PER_ROUTE = ("tenant", "route")

REQUEST_COUNT = Metric("RequestCount", "counter", "count", (*_PER_ROUTE, "status"), "Requests answered.")
REQUEST_LATENCY = Metric(
    "RequestLatency",
    "histogram",
    "seconds",
    _PER_ROUTE,
    "From the first byte in to the last byte out.",
    _LATENCY,
)
TIME_TO_FIRST_TOKEN = Metric(
    "TimeToFirstToken",
    "histogram",
    "seconds",
    _PER_ROUTE,
    "From the request to the first token sent on.",
    _LATENCY,
)
TOKEN_USAGE = Metric(
    "TokenUsage",
    "counter",
    "tokens",
    (*_PER_ROUTE, "kind"),
    "Tokens as the engine counted them (prompt, completion).",
)
COST_ESTIMATE = Metric("CostEstimate", "counter", "usd", _PER_ROUTE, "Estimated cost of the tokens used.")
REFUSAL_COUNT = Metric("RefusalCount", "counter", "count", (*_PER_ROUTE, "reason"), "Requests answered with a refusal.")
THROTTLED_COUNT = Metric("ThrottledCount", "counter", "count", ("reason",), "Requests over a limit, by limit.")
ERROR_COUNT = Metric("ErrorCount", "counter", "count", (*_PER_ROUTE, "reason"), "Requests that failed, by error code.")
QUEUE_TIME = Metric(
    "QueueTime",
    "histogram",
    "seconds",
    ("pool",),
    "How long a request waited for its place in the engine pool.",
    _LATENCY,
)
QUEUE_DEPTH = Metric("QueueDepth", "gauge", "count", ("pool",), "Requests that wait in this router for a place.")
ENGINE_QUEUE_DEPTH = Metric(
    "EngineQueueDepth", "gauge", "count", ("pool",), "Requests that wait in the engines' own queues."
)
KV_CACHE_USAGE = Metric("KvCacheUsage", "gauge", "count", ("pool",), "Of the fullest replica's KV cache, 0 to 1.")
ACTIVE_STREAMS = Metric("ActiveStreams", "gauge", "count", (), "Answers being produced now.")
DEPENDENCY_FAILURE = Metric(
    "DependencyFailure",
    "counter",
    "count",
    ("dependency", "reason"),
    "Calls to a store or a service that failed.",
)
LIMITER_LOCAL = Metric(
    "LimiterLocal", "gauge", "count", (), "1 while limits are kept by this process alone: Valkey is out of reach."
)
HOUSEKEEPING_FAILURE = Metric(
    "HousekeepingFailure", "counter", "count", ("job", "reason"), "Turns of a background job that failed."
)
CROSS_TENANT_DROP = Metric(
    "CrossTenantDrop",
    "counter",
    "count",
    ("tenant",),
    "Passages of another tenant found in an index and dropped: must stay 0.",
)
INDEX_LOAD = Metric(
    "IndexLoad",
    "histogram",
    "seconds",
    ("source",),
    "Time to have a tenant's index in memory, by what it was made of (disk, object_store, log).",
    _LATENCY,
)
INDEX_CACHE = Metric("IndexCache", "gauge", "bytes", (), "Memory of the indexes that are loaded.")
SNAPSHOT_WRITE = Metric(
    "SnapshotWrite",
    "counter",
    "count",
    ("outcome",),
    "Snapshots of an index: written, lost to another writer, or failed, and then tried again.",
)
SNAPSHOT_FAULT = Metric(
    "SnapshotFault",
    "counter",
    "count",
    ("place", "reason"),
    "Snapshots that could not be used (damaged, missing, unreachable, unreadable, full): another source was taken.",
)
RECENT_DROPPED = Metric(
    "RecentDropped", "counter", "count", ("reason",), "Requests not kept for dry runs: full, unreachable or closed."
)
LEDGER_BACKLOG = Metric("LedgerBacklog", "gauge", "count", (), "Settled usage events that wait to be committed.")
LEDGER_BATCH = Metric(
    "LedgerBatch",
    "histogram",
    "count",
    (),
    "Usage events written in one transaction.",
    (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0),
)
LEDGER_FAILURE = Metric(
    "LedgerFailure",
    "counter",
    "count",
    ("reason",),
    "Batches of usage events that failed and are tried again (unreachable, unexpected); events that cannot be kept"
    " (rejected): must stay 0.",
)
MODERATION = Metric(
    "ModerationCount",
    "counter",
    "count",
    ("stage", "outcome"),
    "Texts that a tenant wanted moderated: passed, flagged, or without a verdict (let_through, stopped).",
)
MODERATION_TIME = Metric(
    "ModerationTime",
    "histogram",
    "seconds",
    (),
    "From a text's being sent to the moderation service to its verdict.",
    (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0),
)
RULE_HIT_DROPPED = Metric(
    "RuleHitDropped",
    "counter",
    "count",
    ("reason",),
    "Rule hits that the audit log has as a number only (rate, full), or not at all (tenant_gone, failed, closed).",
)
PASSAGE_FLAGGED = Metric(
    "PassageFlagged",
    "counter",
    "count",
    ("action",),
    "Retrieved passages that read like orders to the model, by what became of them (mark, drop).",
)
TENANT_METRICS_DROPPED = Metric(
    "TenantMetricsDropped",
    "counter",
    "count",
    (),
    "Hours and days of tenants' own metrics that were lost while PostgreSQL was out of reach for long.",
)
CHUNKS_INGESTED = Metric("ChunksIngested", "counter", "count", ("tenant",), "Chunks committed.")
CHUNKS_REEMBEDDED = Metric(
    "ChunksReembedded", "counter", "count", ("tenant",), "Chunks embedded anew for another embedding model."
)
PARSER_LOST = Metric(
    "ParserLost", "counter", "count", (), "Parser processes that a file ended: out of time, memory, or broken down."
)
INGEST_JOBS = Metric(
    "IngestJobs", "counter", "count", ("reason",), "Ingestion jobs that ended: ready, failed, cancelled."
)

ALL: tuple[Metric, ...] = tuple(value for value in globals().values() if isinstance(value, Metric))
