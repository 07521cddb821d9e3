"""What a tenant's chats were like over time, and the fleet's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel
from starlette.responses import JSONResponse, Response

from contracts.errors import InvalidRequestError
from contracts.tenant import TenantId
from router.api.dependencies import CallerDep, ServicesDep
from router.api.grouping import groups_of
from router.domain.pricing import usd
from router.service.tenant_metrics import Seen
from servicekit.problems import OPENAPI_ERRORS
from tenancy.metrics import Histogram, MetricsRow, Numbers, Step
from tenancy.metrics_ports import MetricsGroup

api = APIRouter(tags=["metrics"], responses=OPENAPI_ERRORS)

From = Annotated[
    AwareDatetime | None, Query(alias="from", description="ISO 8601 with an offset; default: a day, or 30 days, ago")
]
To = Annotated[AwareDatetime | None, Query(description="ISO 8601 with an offset, itself not meant; default: now")]
StepSaid = Annotated[Step, Query(description="hour: of the last 35 days; day: UTC days, of the last 800")]
Groups = Annotated[str, Query(max_length=32, description="at, route; several with commas")]
FleetGroups = Annotated[str, Query(max_length=32, description="tenant, at, route; several with commas")]
Most = Annotated[int, Query(ge=1, le=1_000)]


class Quantiles(BaseModel):
    """Milliseconds, right to within a tenth; null where there was nothing to measure."""

    p50: float | None
    p95: float | None
    p99: float | None


class MetricsSums(BaseModel):
    requests: int
    refusals: dict[str, int]
    throttled: dict[str, int]
    errors: dict[str, int]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float
    latency_ms: Quantiles
    first_token_ms: Quantiles


class MetricsItem(MetricsSums):
    """Has those of at, route, tenant that were asked for."""

    at: datetime | None = None
    route: str | None = None
    tenant: TenantId | None = None


class MetricsAnswer(BaseModel):
    """`from` is meant, `to` is not. `tenant_id` is missing where the fleet was asked for, `more` where it was not:
    whether `limit` cut rows off."""

    tenant_id: TenantId | None = None
    more: bool | None = None
    step: Step
    rows: list[MetricsItem]
    total: MetricsSums


@api.get("/tenant/{tenant_id}/metrics", response_model=MetricsAnswer)
async def tenant_metrics(
    caller: CallerDep,
    found: ServicesDep,
    first: From = None,
    to: To = None,
    step: StepSaid = Step.HOUR,
    group_by: Groups = "at",
) -> Response:
    """Requests, tokens, cost, latency, refusals by reason and throttling by limit, over time. At most ten seconds
    late. `latency_ms` is of what was answered or refused; a request that failed, or was left, stands in `errors`."""
    groups = groups_of(group_by, (MetricsGroup.AT, MetricsGroup.ROUTE))
    seen = await found.tenant_metrics.seen(caller.tenant_id, step, _utc(first), _utc(to), groups)
    return JSONResponse({"tenant_id": str(caller.tenant_id), **_said(seen)})


@api.get("/analytics", response_model=MetricsAnswer)
async def fleet_metrics(
    found: ServicesDep, first: From = None, to: To = None, group_by: FleetGroups = "tenant", limit: Most = 100
) -> Response:
    """The same numbers of all tenants, by UTC days, the most requests first. Reasons of refusals, which are tenants'
    own words, are not told apart."""
    groups = groups_of(group_by, tuple(MetricsGroup))
    seen = await found.tenant_metrics.fleet(_utc(first), _utc(to), groups, limit=limit)
    return JSONResponse({**_said(seen), "more": seen.whole is not None})


def _said(seen: Seen) -> dict[str, object]:
    return {
        "from": seen.first.isoformat(),
        "to": seen.end.isoformat(),
        "step": seen.step,
        "group_by": list(seen.group_by),
        "rows": [_item(seen, row) for row in seen.rows],
        "total": _sums(seen.total),
    }


def _item(seen: Seen, row: MetricsRow) -> dict[str, object]:
    return {**dict(zip(seen.group_by, row.group, strict=True)), **_sums(row.numbers)}


def _sums(numbers: Numbers) -> dict[str, object]:
    return {
        "requests": numbers.requests,
        "refusals": dict(numbers.refusals),
        "throttled": dict(numbers.throttled),
        "errors": dict(numbers.errors),
        "prompt_tokens": numbers.prompt_tokens,
        "cached_tokens": numbers.cached_tokens,
        "completion_tokens": numbers.completion_tokens,
        "cost_usd": usd(numbers.cost_nano_usd),
        "latency_ms": _quantiles(numbers.latency),
        "first_token_ms": _quantiles(numbers.first_token),
    }


def _quantiles(histogram: Histogram) -> dict[str, float | None]:
    found = {name: histogram.quantile(share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    return {name: None if ms is None else float(f"{ms:.3g}") for name, ms in found.items()}


def _utc(at: datetime | None) -> datetime | None:
    """Raises InvalidRequestError: near the ends of the calendar an offset leads out of it."""
    try:
        return at.astimezone(UTC) if at is not None else None
    except OverflowError:
        raise InvalidRequestError("`from` or `to` is beyond what a calendar has") from None
