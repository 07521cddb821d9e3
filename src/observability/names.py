"""Every metric, declared once: name, kind, unit, dimensions, help, and what of it goes to CloudWatch. `/metrics`, the
CloudWatch metrics and `docs/metrics.md` are made from this list, dashboards and alarms by `observability.monitoring`.

The dimension `route` is the intent of a chat, or the HTTP operation where there is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Unit = Literal["seconds", "tokens", "usd", "bytes", "count", "ratio"]
Service = Literal["router", "orchestrator", "rag"]
SERVICES: tuple[Service, ...] = ("router", "orchestrator", "rag")
NAMESPACE = "MultiTenantChatbot"
"""Of the CloudWatch metrics."""
OTHER = "other"
"""The dimension value of whatever has none of its own."""
NO_VALUE = "none"
"""In CloudWatch, which takes no empty dimension."""
COMPONENT = "component"
"""In Prometheus the label that says which service tells what each tells of its own requests."""


@dataclass(frozen=True, slots=True)
class CloudWatch:
    """What CloudWatch gets of a metric: CloudWatch adds nothing up over dimensions, so each set of them that somebody
    asks for is sent. `sent_by` keeps a request from being counted by each service it passes."""

    sets: tuple[tuple[str, ...], ...]
    sent_by: tuple[Service, ...] = ("router",)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """All that occur, in the order of their first."""
        return tuple(dict.fromkeys(name for names in self.sets for name in names))


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: Unit
    dimensions: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    cloudwatch: CloudWatch | None = None

    @property
    def of_requests(self) -> bool:
        """Each service tells it of what it answers itself, so that one chat is told by three."""
        return "route" in self.dimensions

    @property
    def prometheus_labels(self) -> tuple[str, ...]:
        return (*self.dimensions, COMPONENT) if self.of_requests else self.dimensions

    @property
    def prometheus_name(self) -> str:
        """`RequestLatency` in seconds becomes `atrium_request_latency_seconds`; a counter ends in `_total`."""
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.name).lower().removesuffix("_count")
        unit = "" if self.unit in {"count", "ratio"} else f"_{self.unit}"
        total = "_total" if self.kind == "counter" else ""
        return f"atrium_{snake}{unit}{total}"


_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_PER_ROUTE = ("tenant", "route")
_OF_ROUTES = CloudWatch((_PER_ROUTE, ("tenant",), ()))
_WITH_REASONS = CloudWatch(((*_PER_ROUTE, "reason"), ("tenant",), ("reason",), ()))
_OF_ENGINES = CloudWatch((("pool",), ()), ("orchestrator",))
_OF_ALL = CloudWatch(((),), SERVICES)
_OF_ROUTERS = CloudWatch(((),))

REQUEST_COUNT = Metric(
    "RequestCount", "counter", "count", (*_PER_ROUTE, "status"), "Requests answered.", cloudwatch=_OF_ROUTES
)
REQUEST_LATENCY = Metric(
    "RequestLatency",
    "histogram",
    "seconds",
    _PER_ROUTE,
    "From the first byte in to the last byte out.",
    _LATENCY,
    _OF_ROUTES,
)
TIME_TO_FIRST_TOKEN = Metric(
    "TimeToFirstToken",
    "histogram",
    "seconds",
    _PER_ROUTE,
    "From the request to the first token sent on.",
    _LATENCY,
    _OF_ROUTES,
)
INTER_TOKEN_LATENCY = Metric(
    "InterTokenLatency",
    "histogram",
    "seconds",
    _PER_ROUTE,
    "From one piece of an answer to the next, each of them; a piece is one token, unless a rule held some back.",
    _PER_TOKEN,
    _OF_ROUTES,
)
TOKEN_USAGE = Metric(
    "TokenUsage",
    "counter",
    "tokens",
    (*_PER_ROUTE, "kind"),
    "Tokens as the engine counted them (prompt, completion).",
    cloudwatch=_OF_ROUTES,
)
COST_ESTIMATE = Metric(
    "CostEstimate", "counter", "usd", _PER_ROUTE, "Estimated cost of the tokens used.", cloudwatch=_OF_ROUTES
)
REFUSAL_COUNT = Metric(
    "RefusalCount",
    "counter",
    "count",
    (*_PER_ROUTE, "reason"),
    "Requests answered with a refusal.",
    cloudwatch=_WITH_REASONS,
)
THROTTLED_COUNT = Metric(
    "ThrottledCount",
    "counter",
    "count",
    ("tenant", "reason"),
    "Requests over a limit, by limit. Which route they would have taken, nobody has asked yet.",
    cloudwatch=CloudWatch((("tenant", "reason"), ("tenant",), ("reason",), ())),
)
ERROR_COUNT = Metric(
    "ErrorCount",
    "counter",
    "count",
    (*_PER_ROUTE, "reason"),
    "Requests that failed, by error code.",
    cloudwatch=_WITH_REASONS,
)
FAULT_COUNT = Metric(
    "FaultCount",
    "counter",
    "count",
    _PER_ROUTE,
    "Requests that failed through no fault of their client's: what availability is reckoned from.",
    cloudwatch=CloudWatch((("tenant",), ())),
)
BUDGET_USED = Metric(
    "BudgetUsed",
    "histogram",
    "ratio",
    ("tenant",),
    "Of a tenant's monthly budget, the share that is spent or reserved, as each of its requests found it.",
    (0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 1.0),
    CloudWatch((("tenant",), ())),
)
QUEUE_TIME = Metric(
    "QueueTime",
    "histogram",
    "seconds",
    ("tenant", "pool"),
    "How long a request waited for its place in the engine pool.",
    _LATENCY,
    CloudWatch((("tenant",), ("pool",), ())),
)
QUEUE_DEPTH = Metric(
    "QueueDepth",
    "gauge",
    "count",
    ("pool",),
    "Requests that wait in this router for a place.",
    cloudwatch=CloudWatch((("pool",), ())),
)
ENGINE_QUEUE_DEPTH = Metric(
    "EngineQueueDepth",
    "gauge",
    "count",
    ("pool",),
    "Requests that wait in the engines' own queues.",
    cloudwatch=_OF_ENGINES,
)
KV_CACHE_USAGE = Metric(
    "KvCacheUsage",
    "gauge",
    "ratio",
    ("pool",),
    "Of the fullest replica's KV cache, 0 to 1.",
    cloudwatch=_OF_ENGINES,
)
ACTIVE_STREAMS = Metric(
    "ActiveStreams",
    "gauge",
    "count",
    (),
    "Answers being produced now.",
    cloudwatch=CloudWatch(((),), ("orchestrator",)),
)
ENGINE_REPLICAS = Metric(
    "EngineReplicas",
    "gauge",
    "count",
    ("pool", "state"),
    "Replicas of an engine pool by what becomes of new work: usable, ejected, unreachable, draining.",
    cloudwatch=CloudWatch((("pool", "state"),), ("orchestrator",)),
)
ENGINE_EJECTION = Metric(
    "EngineEjection",
    "counter",
    "count",
    ("pool", "reason"),
    "Replicas that were taken out after failures in a row, by the last one's reason.",
    cloudwatch=_OF_ENGINES,
)
ENGINE_RETRY = Metric(
    "EngineRetry",
    "counter",
    "count",
    ("pool", "reason"),
    "Requests that were given to another replica before their first token, by what the one before did.",
)
POOL_SPILL = Metric(
    "PoolSpill", "counter", "count", ("pool",), "Requests of a dedicated pool's tenants that the shared pool served."
)
DEPENDENCY_FAILURE = Metric(
    "DependencyFailure",
    "counter",
    "count",
    ("dependency", "reason"),
    "Calls to a store or a service that failed.",
    cloudwatch=CloudWatch((("dependency",), ()), SERVICES),
)
LIMITER_LOCAL = Metric(
    "LimiterLocal",
    "gauge",
    "count",
    (),
    "1 while limits are kept by this process alone: Valkey is out of reach.",
    cloudwatch=_OF_ROUTERS,
)
PROCESSES_UP = Metric(
    "ProcessesUp",
    "gauge",
    "count",
    ("component",),
    "1 from every process of a service (router, orchestrator, rag): where it is missing, none tells anything.",
    cloudwatch=CloudWatch((("component",),), SERVICES),
)
HOUSEKEEPING_FAILURE = Metric(
    "HousekeepingFailure",
    "counter",
    "count",
    ("job", "reason"),
    "Turns of a background job that failed.",
    cloudwatch=CloudWatch((("job",), ()), SERVICES),
)
CROSS_TENANT_DROP = Metric(
    "CrossTenantDrop",
    "counter",
    "count",
    ("tenant",),
    "Passages of another tenant found in an index and dropped: must stay 0.",
    cloudwatch=_OF_ALL,
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
    "Snapshots that could not be used (damaged, missing, unreachable, unreadable, full, or of another format): another"
    " source was taken.",
    cloudwatch=CloudWatch((("reason",),), ("rag",)),
)
RECENT_DROPPED = Metric(
    "RecentDropped", "counter", "count", ("reason",), "Requests not kept for dry runs: full, unreachable or closed."
)
MEMORY_RECALL = Metric(
    "MemoryRecall",
    "counter",
    "count",
    ("source",),
    "Sessions recalled for a request: from the cache, from the store, or unavailable (answered without memory).",
    cloudwatch=CloudWatch((("source",), ())),
)
MEMORY_LEFT_OUT = Metric(
    "MemoryLeftOut",
    "counter",
    "count",
    ("reason",),
    "Earlier turns that were not sent: refused by today's rules, flagged by moderation, or not judged in time (late).",
)
MEMORY_BACKLOG = Metric("MemoryBacklog", "gauge", "count", (), "Told turns that wait to be written.")
MEMORY_DROPPED = Metric(
    "MemoryDropped",
    "counter",
    "count",
    ("reason",),
    "Told turns that were not kept: full, closed, late, or rejected by the store.",
    cloudwatch=_OF_ROUTERS,
)
SUMMARY = Metric(
    "SummaryCount",
    "counter",
    "count",
    ("outcome",),
    "Summaries of long sessions: made, failed, late, or without room in the request's reservation (no_room).",
)
PROMPT_TRIMMED = Metric(
    "PromptTrimmed",
    "counter",
    "count",
    ("what",),
    "Parts of prompts that were left out, as they did not fit the context: messages, passages.",
)
LEDGER_BACKLOG = Metric(
    "LedgerBacklog", "gauge", "count", (), "Settled usage events that wait to be committed.", cloudwatch=_OF_ALL
)
LEDGER_LAG = Metric(
    "LedgerLag",
    "gauge",
    "seconds",
    (),
    "How long the oldest settled usage event of this router has waited to be committed; 0 when none waits.",
    cloudwatch=_OF_ROUTERS,
)
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
    cloudwatch=CloudWatch((("reason",), ()), SERVICES),
)
MODERATION = Metric(
    "ModerationCount",
    "counter",
    "count",
    ("stage", "outcome"),
    "Texts that a tenant wanted moderated: passed, flagged, or without a verdict (let_through, stopped).",
    cloudwatch=CloudWatch((("outcome",), ())),
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
    cloudwatch=CloudWatch((("reason",),)),
)
DEGRADED = Metric(
    "Degraded",
    "counter",
    "count",
    ("step",),
    "Answers given without the RAG service, by the step that did without it (classify, retrieve).",
    cloudwatch=CloudWatch((("step",), ()), ("orchestrator",)),
)
NOTHING_FOUND = Metric(
    "NothingFound",
    "counter",
    "count",
    ("outcome",),
    "Questions for which no passage was near enough, by what became of them (answer, say_so).",
)
PASSAGE_FLAGGED = Metric(
    "PassageFlagged",
    "counter",
    "count",
    ("action",),
    "Retrieved passages that read like orders to the model, by what became of them (mark, drop).",
)
RERANKED = Metric(
    "Reranked",
    "counter",
    "count",
    ("outcome",),
    "Searches whose tenant wants them reranked: done, or in the index's order since the reranker was late or failed.",
)
INDEX_RECALL = Metric(
    "IndexRecall",
    "histogram",
    "ratio",
    ("kind",),
    "Of the nearest chunks that an exact search finds, the share that the approximate one had found; of a sample of"
    " searches, by the kind of index (flat, lists).",
    (0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0),
    cloudwatch=CloudWatch((("kind",), ()), ("rag",)),
)
TENANT_METRICS_DROPPED = Metric(
    "TenantMetricsDropped",
    "counter",
    "count",
    (),
    "Hours and days of tenants' own metrics that were lost while PostgreSQL was out of reach for long.",
    cloudwatch=_OF_ROUTERS,
)
CHUNKS_INGESTED = Metric("ChunksIngested", "counter", "count", ("tenant",), "Chunks committed.")
CHUNKS_REEMBEDDED = Metric(
    "ChunksReembedded", "counter", "count", ("tenant",), "Chunks embedded anew for another embedding model."
)
PARSER_LOST = Metric(
    "ParserLost", "counter", "count", (), "Parser processes that a file ended: out of time, memory, or broken down."
)
INGEST_JOBS = Metric(
    "IngestJobs",
    "counter",
    "count",
    ("reason",),
    "Ingestion jobs that ended: ready, failed, cancelled.",
    cloudwatch=CloudWatch((("reason",),), ("rag",)),
)
TELEMETRY_DROPPED = Metric(
    "TelemetryDropped",
    "counter",
    "count",
    ("sink", "reason"),
    "Metrics, log records, spans and runs that did not reach their sink: its queue was full, it did not take them in"
    " time (gave_up), there were too many series in an interval (series), or it was nothing that JSON can hold"
    " (unwritable).",
    cloudwatch=CloudWatch((("sink",), ()), SERVICES),
)

ALL: tuple[Metric, ...] = tuple(value for value in globals().values() if isinstance(value, Metric))
MERGED: tuple[Metric, ...] = (INTER_TOKEN_LATENCY,)
"""Histograms that are observed per token: a stream gathers its own, which is merged at its end."""
