"""`POST /tenant/{id}/config/dry-run`: what a config would have done, before it does it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Self

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from contracts.chat import Query
from contracts.classification import MAX_QUERIES
from contracts.tenant import TenantId
from router.api.configs import ConfigBody, WarningItem, invalid_config, said_by, warning_items
from router.api.dependencies import CallerDep, Services, ServicesDep
from router.domain.caller import Caller
from router.domain.dry_run import DryRunReport, Prompt, Verdict
from router.domain.policy import Policy
from router.service.access import require_same
from servicekit.edge import until_disconnect
from servicekit.problems import OPENAPI_ERRORS

api = APIRouter(prefix="/tenant/{tenant_id}/config", tags=["config"], responses=OPENAPI_ERRORS)

DEFAULT_LAST = 100


class PromptItem(BaseModel):
    """`at`: when it was sent, for the limits; without it, now."""

    model_config = ConfigDict(extra="forbid")

    query: Query
    at: AwareDatetime | None = None


class DryRun(BaseModel):
    """A candidate, as a whole config or as a merge patch of today's; and prompts, or how many of the last requests.

    `with_limits` false leaves the limits out, so that every prompt reaches the rules.
    """

    model_config = ConfigDict(extra="forbid")

    config: ConfigBody | None = None
    patch: dict[str, Any] | None = None
    prompts: Annotated[list[Query | PromptItem], Field(min_length=1, max_length=MAX_QUERIES)] | None = None
    last: int | None = Field(default=None, ge=1, le=MAX_QUERIES)
    with_limits: bool = True

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.config is None) == (self.patch is None):
            raise ValueError("give the candidate as `config` or as `patch`")
        if self.prompts is not None and self.last is not None:
            raise ValueError("give `prompts` or `last`, not both")
        return self


class VerdictItem(BaseModel):
    """`refused_by` is a rule's id, `limited_by` a limit's name."""

    outcome: str
    refused_by: str | None
    reason: str | None
    stage: str | None
    limited_by: str | None
    route: str | None
    route_score: float | None


class ResultItem(BaseModel):
    """`request_id` is that of one of the tenant's own requests; `cut`: only the beginning of its query was kept."""

    query: str
    at: AwareDatetime | None
    request_id: str | None
    cut: bool
    today: VerdictItem
    candidate: VerdictItem
    changed: bool


class CountItem(BaseModel):
    today: int
    candidate: int


class SummaryItem(BaseModel):
    outcomes: dict[str, CountItem]
    changed: int
    rerouted: int
    rules: dict[str, CountItem]
    limits: dict[str, CountItem]


class DryRunAnswer(BaseModel):
    """`warnings` are about the candidate."""

    tenant_id: TenantId
    today_version: int
    results: list[ResultItem]
    summary: SummaryItem
    warnings: list[WarningItem]


class _Asked(BaseModel):
    """A prompt with what is known of where it is from."""

    query: str
    at: AwareDatetime | None = None
    request_id: str | None = None
    cut: bool = False


@api.post("/dry-run")
async def dry_run(request: Request, caller: CallerDep, body: DryRun, found: ServicesDep) -> DryRunAnswer:
    """Today's config and a candidate against the same prompts, side by side. Changes nothing, counts against no
    limit, generates nothing."""
    return await until_disconnect(request, _dry_run(caller, body, found))


async def _dry_run(caller: Caller, body: DryRun, found: Services) -> DryRunAnswer:
    candidate = await _candidate(caller, body, found)
    asked = await _asked(caller, body, found)
    report = await found.dry_run.run(
        caller,
        candidate,
        [Prompt(prompt.query, prompt.at) for prompt in asked],
        with_limits=body.with_limits,
    )
    return DryRunAnswer(
        tenant_id=caller.tenant_id,
        today_version=caller.policy.version,
        results=_results(asked, report),
        summary=_summary(report),
        warnings=await warning_items(caller, candidate.config, found),
    )


async def _candidate(caller: Caller, body: DryRun, found: Services) -> Policy:
    try:
        if body.config is not None:
            require_same(caller.tenant_id, body.config.tenant_id)
            return await found.configs.candidate(caller, body.config.said())
        return await found.configs.patched_candidate(caller, said_by(caller, body.patch or {}))
    except ValidationError as error:
        raise invalid_config(error) from error


async def _asked(caller: Caller, body: DryRun, found: Services) -> list[_Asked]:
    if body.prompts is not None:
        return [
            _Asked(query=item.query, at=item.at) if isinstance(item, PromptItem) else _Asked(query=item)
            for item in body.prompts
        ]
    keep_for = timedelta(days=caller.policy.config.retention_days)
    kept = await found.dry_run.recent(caller.tenant_id, body.last or DEFAULT_LAST, keep_for=keep_for)
    return [_Asked(query=one.query, at=one.at, request_id=one.request_id, cut=one.cut) for one in kept]


def _results(asked: list[_Asked], report: DryRunReport) -> list[ResultItem]:
    return [
        ResultItem(
            **prompt.model_dump(),
            today=_verdict(one.today),
            candidate=_verdict(one.candidate),
            changed=one.changed,
        )
        for prompt, one in zip(asked, report.results, strict=True)
    ]


def _verdict(verdict: Verdict) -> VerdictItem:
    return VerdictItem(**{name: getattr(verdict, name) for name in VerdictItem.model_fields})


def _summary(report: DryRunReport) -> SummaryItem:
    found = report.summary

    def counts(of: Any) -> dict[str, CountItem]:
        return {name: CountItem(today=count.today, candidate=count.candidate) for name, count in of.items()}

    return SummaryItem(
        outcomes=counts(found.outcomes),
        changed=found.changed,
        rerouted=found.rerouted,
        rules=counts(found.rules),
        limits=counts(found.limits),
    )
