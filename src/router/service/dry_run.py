"""A dry run: what today's config and a candidate do with the same prompts. Counts against no limit, changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from contracts.chat import Refusal, Route
from contracts.classification import MAX_QUERIES, ClassifyRequest, RouteDecision
from contracts.context import TenantContext
from contracts.errors import InvalidRequestError, UpstreamTimeoutError
from contracts.tenant import TenantId
from router.domain.caller import Caller
from router.domain.dry_run import DryRunReport, Prompt, Side, compare, over_limits
from router.domain.policy import Policy
from router.domain.recent_request import RecentRequest
from router.ports import Orchestrator, RecentRequests
from router.service.contexts import Asker, ContextFactory
from router.service.judging import Judge

_Queries = dict[str, None]
"""Each text once, in the order of the prompts."""
_Decisions = dict[str, RouteDecision]


class _Stopped(NamedTuple):
    """What one config says before the route, of each prompt."""

    limited_by: list[str | None]
    refusals: list[Refusal | None]

    def passed(self, prompts: Sequence[Prompt]) -> _Queries:
        said = zip(prompts, self.limited_by, self.refusals, strict=True)
        return {prompt.query: None for prompt, limit, refusal in said if limit is None and refusal is None}

    def with_routes(self, prompts: Sequence[Prompt], decisions: _Decisions) -> Side:
        return Side(self.limited_by, self.refusals, [decisions.get(prompt.query) for prompt in prompts])


class DryRunService:
    """`timeout` bounds a whole run."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        recent: RecentRequests,
        contexts: ContextFactory,
        judge: Judge,
        *,
        timeout: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._orchestrator = orchestrator
        self._recent = recent
        self._contexts = contexts
        self._judge = judge
        self._timeout = timeout
        self._now = now

    async def recent(self, tenant_id: TenantId, count: int, *, keep_for: timedelta) -> list[RecentRequest]:
        """The tenant's last requests that today's retention still allows, newest first. Raises DependencyDownError."""
        if keep_for <= timedelta(0) or count < 1:
            return []
        return await self._recent.last(tenant_id, min(count, MAX_QUERIES), not_older_than=self._now() - keep_for)

    async def run(
        self,
        caller: Caller,
        candidate: Policy,
        prompts: Sequence[Prompt],
        *,
        with_limits: bool = True,
    ) -> DryRunReport:
        """Today is the policy that governs the caller. Without limits every prompt reaches the rules.

        Raises InvalidRequestError (too many prompts), OverloadedError, UpstreamTimeoutError, and what the orchestrator
        raised.
        """
        if len(prompts) > MAX_QUERIES:
            raise InvalidRequestError(f"a dry run takes at most {MAX_QUERIES} prompts")
        asker = Asker(user_id=caller.principal.name, session_id=caller.request_id)
        context = self._contexts.build(caller, asker, self._timeout)
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await self._compare(context, caller.policy, candidate, prompts, with_limits=with_limits)
        except TimeoutError as error:
            raise UpstreamTimeoutError("the dry run was not finished in time") from error

    async def _compare(
        self,
        context: TenantContext,
        today: Policy,
        candidate: Policy,
        prompts: Sequence[Prompt],
        *,
        with_limits: bool,
    ) -> DryRunReport:
        now = self._now()
        stopped_today, stopped_then = [
            await self._stopped(policy, prompts, over_limits(prompts, policy.windows if with_limits else (), now))
            for policy in (today, candidate)
        ]
        to_classify = stopped_today.passed(prompts)
        if _deciding(today) == _deciding(candidate):
            decided = await self._decide(context, today, to_classify | stopped_then.passed(prompts))
            decided_then = decided
        else:
            decided = await self._decide(context, today, to_classify)
            decided_then = await self._decide(context, candidate, stopped_then.passed(prompts))
        return compare(stopped_today.with_routes(prompts, decided), stopped_then.with_routes(prompts, decided_then))

    async def _stopped(self, policy: Policy, prompts: Sequence[Prompt], limited_by: list[str | None]) -> _Stopped:
        """Judged one after the other: no other request is held up, and a run can end between two."""
        refusals = [
            None if limit is not None else await self._judge.refusal(policy.tenant_id, policy.rules, prompt.query)
            for prompt, limit in zip(prompts, limited_by, strict=True)
        ]
        return _Stopped(limited_by, refusals)

    async def _decide(self, context: TenantContext, policy: Policy, queries: _Queries) -> _Decisions:
        if not queries:
            return {}
        sent = {query: await self._sent(policy, query) for query in queries}
        asked = tuple(dict.fromkeys(sent.values()))
        routes, allowed_routes, blocked_tools = _routing(policy)
        request = ClassifyRequest(
            queries=asked, routes=routes, allowed_routes=allowed_routes, blocked_tools=blocked_tools
        )
        answer = await self._orchestrator.classify(context, request)
        decisions = dict(zip(asked, answer.decisions, strict=True))
        return {query: decisions[text] for query, text in sent.items()}

    async def _sent(self, policy: Policy, query: str) -> str:
        """What a turn would send on of it."""
        return (await self._judge.redacted(policy, query)).texts[0]


def _deciding(policy: Policy) -> tuple[object, ...]:
    """All that decides over a query's route, what is redacted of the query included."""
    return _routing(policy), policy.config.redact.input, policy.config.locale


def _routing(policy: Policy) -> tuple[tuple[Route, ...], tuple[str, ...], tuple[str, ...]]:
    """Routes, allowed routes and blocked tools: all that decides over the route of a query that is sent on."""
    config = policy.config
    return policy.routes, config.allowed_routes, config.blocked_tools
