"""The dry run over a fake orchestrator: what is asked of whom, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.chat import Refusal, TurnEvent, TurnRequest
from contracts.classification import ClassifyRequest, ClassifyResponse, RouteDecision
from contracts.context import TenantContext
from contracts.errors import AtriumError, InvalidRequestError, UpstreamError, UpstreamTimeoutError
from contracts.tenant import TenantId
from router.adapters.memory_recent import MemoryRecentRequests
from router.domain.dry_run import Count, Prompt
from router.domain.recent_request import RecentRequest
from router.service.contexts import ContextFactory
from router.service.dry_run import DryRunService
from router.service.judging import Judge
from servicekit.cpu_pool import CpuPool
from support.policies import a_caller, a_policy, contains

T1 = TenantId("t1")
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

FLY = {"name": "FLY", "examples": ["fly"]}


def decision(query: str, request: ClassifyRequest) -> RouteDecision:
    """The first route whose name the query contains; refused where it is not allowed."""
    route = next((route.name for route in request.routes if route.name.lower() in query), "GENERAL")
    refusal = Refusal(reason="route_not_allowed", rule_id="allowed_routes", stage="route", message="no")
    return RouteDecision(route=route, score=0.5, refusal=None if route in request.allowed_routes else refusal)


@dataclass
class FakeOrchestrator:
    """Answers from the names of the routes; fails or hangs where it is told to."""

    fails_with: AtriumError | None = None
    hangs: bool = False
    asked: list[tuple[TenantContext, ClassifyRequest]] = field(default_factory=list)

    def turn(
        self, context: TenantContext, request: TurnRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[TurnEvent]]:
        raise AssertionError("a dry run answers nothing")

    async def classify(self, context: TenantContext, request: ClassifyRequest) -> ClassifyResponse:
        self.asked.append((context, request))
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails_with is not None:
            raise self.fails_with
        return ClassifyResponse(decisions=[decision(query, request) for query in request.queries])

    def queries(self) -> list[tuple[str, ...]]:
        return [request.queries for _context, request in self.asked]


def service(
    orchestrator: FakeOrchestrator, recent: MemoryRecentRequests | None = None, timeout_s: float = 30
) -> DryRunService:
    return DryRunService(
        orchestrator,
        recent or MemoryRecentRequests(),
        ContextFactory(salt_secret=b"s", now=lambda: NOW),
        Judge(CpuPool("judging", 1)),
        timeout=timedelta(seconds=timeout_s),
        now=lambda: NOW,
    )


def prompts(*queries: str) -> list[Prompt]:
    return [Prompt(query) for query in queries]


async def test_each_prompt_is_told_for_today_and_for_the_candidate() -> None:
    today = a_policy(refusal_rules=[contains("hack")])
    candidate = a_policy(refusal_rules=[contains("bomb")], routes=[FLY], allowed_routes=["GENERAL"])
    report = await service(FakeOrchestrator()).run(a_caller(today), candidate, prompts("hack", "bomb", "fly", "hi"))
    assert [(one.today.outcome, one.candidate.outcome, one.changed) for one in report.results] == [
        ("refused", "answered", True),
        ("answered", "refused", True),
        ("answered", "refused", True),
        ("answered", "answered", False),
    ]
    assert [report.results[2].candidate.route, report.results[2].candidate.refused_by] == ["FLY", "allowed_routes"]
    assert report.summary.rules["allowed_routes"] == Count(0, 1)


async def test_configs_that_route_alike_are_classified_once_and_without_what_both_refuse() -> None:
    orchestrator = FakeOrchestrator()
    today = a_policy(refusal_rules=[contains("hack")])
    candidate = a_policy(refusal_rules=[contains("hack"), contains("bomb")])
    asked = prompts("hack", "bomb", "hi", "hi")
    await service(orchestrator).run(a_caller(today), candidate, asked)
    assert orchestrator.queries() == [("bomb", "hi")]


@pytest.mark.parametrize(
    "changes", [{"routes": [FLY]}, {"allowed_routes": ["GENERAL"]}, {"blocked_tools": ["mcp_catalog"]}]
)
async def test_configs_that_route_otherwise_are_classified_by_the_terms_of_each(changes: dict[str, Any]) -> None:
    orchestrator = FakeOrchestrator()
    today, candidate = a_policy(refusal_rules=[contains("hack")], version=7), a_policy(**changes)
    await service(orchestrator).run(a_caller(today), candidate, prompts("hack", "hi"))
    assert orchestrator.queries() == [("hi",), ("hack", "hi")]
    (context, first), (_context, second) = orchestrator.asked
    assert (context.tenant_id, context.config_version, context.deadline) == (T1, 7, NOW + timedelta(seconds=30))
    for asked, policy in ((first, today), (second, candidate)):
        assert asked.routes == policy.config.all_routes()
        assert asked.allowed_routes == policy.config.allowed_routes
        assert asked.blocked_tools == policy.config.blocked_tools


async def test_prompts_that_never_reach_their_route_ask_nothing_of_the_orchestrator() -> None:
    orchestrator = FakeOrchestrator(fails_with=UpstreamError("down"))
    refusing = a_policy(sensitive_prompt_patterns=["hack"])
    report = await service(orchestrator).run(a_caller(refusing), refusing, prompts("hack"))
    assert (report.summary.outcomes["refused"], orchestrator.asked) == (Count(1, 1), [])
    assert (await service(orchestrator).run(a_caller(refusing), refusing, [])).results == ()


async def test_limits_are_simulated_unless_they_are_left_out() -> None:
    orchestrator = FakeOrchestrator()
    today, candidate = a_policy(rate_limit_per_minute=1), a_policy(rate_limit_per_minute=2)
    asked = prompts("one", "two", "three")
    with_limits = await service(orchestrator).run(a_caller(today), candidate, asked)
    without = await service(orchestrator).run(a_caller(today), candidate, asked, with_limits=False)
    assert with_limits.summary.outcomes["limited"] == Count(2, 1)
    assert with_limits.summary.limits == {"requests_per_minute": Count(2, 1)}
    assert without.summary.outcomes["answered"] == Count(3, 3)
    assert orchestrator.queries() == [("one", "two"), ("one", "two", "three")]


async def test_an_orchestrator_that_is_down_is_the_answer() -> None:
    with pytest.raises(UpstreamError, match="down"):
        await service(FakeOrchestrator(fails_with=UpstreamError("down"))).run(
            a_caller(a_policy()), a_policy(), prompts("hi")
        )


async def test_a_run_ends_at_its_time() -> None:
    with pytest.raises(UpstreamTimeoutError):
        await service(FakeOrchestrator(hangs=True), timeout_s=0.01).run(a_caller(a_policy()), a_policy(), prompts("hi"))


async def test_too_many_prompts_are_refused_before_anything_is_asked() -> None:
    orchestrator = FakeOrchestrator()
    with pytest.raises(InvalidRequestError):
        await service(orchestrator).run(a_caller(a_policy()), a_policy(), prompts(*["hi"] * 201))
    assert orchestrator.asked == []


async def test_recent_requests_are_told_as_far_back_as_the_retention_goes() -> None:
    recent = MemoryRecentRequests()
    for hours, query in ((3, "old"), (1, "new")):
        await recent.note(T1, RecentRequest("r", NOW - hours * HOUR, query), keep_for=24 * HOUR)
    dry_run = service(FakeOrchestrator(), recent)
    assert [one.query for one in await dry_run.recent(T1, 10, keep_for=24 * HOUR)] == ["new", "old"]
    assert [one.query for one in await dry_run.recent(T1, 1, keep_for=24 * HOUR)] == ["new"]
    assert [one.query for one in await dry_run.recent(T1, 10, keep_for=2 * HOUR)] == ["new"]
    assert await dry_run.recent(T1, 10, keep_for=timedelta(0)) == []
