"""The request record: what is said of one request in the log and in the metrics, filled while it is served."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from starlette.types import Scope

from observability.distribution import Distribution

_KEY = "atrium.record"


@dataclass(slots=True)
class RequestRecord:
    """`route` is the intent of a chat; other operations are named by `operation`. `limit` names the one that was
    reached.

    `tenant_exists` once that was seen: a name that somebody made up is no dimension of a metric. `query` and `answer`
    are there only where the tenant's config allows it (`log_content`).
    """

    request_id: str
    method: str
    path: str
    operation: str = ""
    status: int = 0
    tenant_id: str = ""
    tenant_born: datetime | None = None
    user_id: str = ""
    session_id: str = ""
    route: str = ""
    latency_ms: float = 0.0
    first_token_ms: float | None = None
    route_score: float | None = None
    runner_up: str | None = None
    runner_up_score: float | None = None
    prompt: str = ""
    degraded: bool = False
    timings_ms: dict[str, float] = field(default_factory=dict)
    chunk_ids: list[str] = field(default_factory=list)
    citations: list[str] = field(default_factory=list)
    refusal_reason: str | None = None
    refusal_kind: str | None = None
    token_usage: dict[str, int] = field(default_factory=dict)
    cost_usd_estimate: float = 0.0
    config_version: int | None = None
    error_code: str | None = None
    limit: str | None = None
    dependency_down: str | None = None
    disconnected: bool = False
    query: str | None = None
    answer: str | None = None
    tenant_exists: bool = False
    token_gaps: Distribution | None = None

    def fields(self) -> dict[str, Any]:
        """What is logged."""
        found = {name: getattr(self, name) for name in _LOGGED}
        if self.query is None:
            del found["query"]
        if self.answer is None:
            del found["answer"]
        return found


_LOGGED = tuple(
    one.name for one in fields(RequestRecord) if one.name not in {"tenant_exists", "tenant_born", "token_gaps"}
)


def attach_record(scope: Scope, record: RequestRecord) -> None:
    scope[_KEY] = record


def record_of(scope: Scope) -> RequestRecord:
    """The record of the request being served. Set by `RequestMiddleware`, which every service installs."""
    record = scope[_KEY]
    assert isinstance(record, RequestRecord)  # noqa: S101  set by attach_record alone; narrows the type
    return record
