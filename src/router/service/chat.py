"""One chat request, from the limits to the stream of events."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from contracts.chat import ChatRequest, MetaEvent, RefusalEvent, TurnEvent, TurnRequest
from contracts.errors import RateLimitedError, UpstreamTimeoutError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import Metrics
from router.domain.caller import Caller
from router.domain.limits import Decision
from router.domain.recent_request import RecentRequest
from router.ports import Orchestrator, RateLimiter
from router.service.contexts import Asker, ContextFactory
from router.service.judging import Judge
from router.service.recent import RecentNotes
from servicekit.tokens import utc_now


@dataclass(frozen=True, slots=True)
class Turn:
    """A request that was admitted. `events` ends with `done`, `refusal` or `error`.

    A route that is not among `allowed_routes` may be in the log, but not in the answer.
    """

    tenant_id: TenantId
    session_id: str
    config_version: int
    allowed_routes: tuple[str, ...]
    limit_headers: Mapping[str, str]
    events: AsyncIterator[TurnEvent]


class ChatService:
    def __init__(
        self,
        limiter: RateLimiter,
        orchestrator: Orchestrator,
        contexts: ContextFactory,
        notes: RecentNotes,
        judge: Judge,
        metrics: Metrics,
        *,
        timeout: timedelta,
    ) -> None:
        self._limiter = limiter
        self._orchestrator = orchestrator
        self._contexts = contexts
        self._notes = notes
        self._judge = judge
        self._metrics = metrics
        self._timeout = timeout

    @asynccontextmanager
    async def open(self, caller: Caller, request: ChatRequest) -> AsyncIterator[Turn]:
        """Admit a request and begin its turn; leaving the context early stops the work behind it.

        Raises RateLimitedError, OverloadedError (too many of the tenant's prompts wait for its slow rules),
        UpstreamTimeoutError, or what the orchestrator raised before it began.
        """
        policy = caller.policy
        decision = await self._limiter.take(policy.tenant_id, policy.windows)
        if not decision.allowed:
            raise self._over_limit(policy.tenant_id, decision)
        self._note(caller, request)
        session_id = request.session_id or uuid.uuid4().hex
        async with self._events(caller, request, Asker(request.user_id, session_id)) as events:
            yield Turn(
                tenant_id=policy.tenant_id,
                session_id=session_id,
                config_version=policy.version,
                allowed_routes=policy.config.allowed_routes,
                limit_headers=decision.headers(),
                events=events,
            )

    @asynccontextmanager
    async def _events(
        self, caller: Caller, request: ChatRequest, asker: Asker
    ) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        policy = caller.policy
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                refusal = await self._judge.refusal(policy.tenant_id, policy.rules, request.query)
        except TimeoutError as error:
            raise UpstreamTimeoutError("the tenant's rules were not through with the prompt in time") from error
        if refusal is not None:
            yield _just(MetaEvent(route="", route_score=0.0, model=""), RefusalEvent(refusal=refusal))
            return
        turn = TurnRequest(
            query=request.query,
            locale=request.locale or policy.config.locale,
            routes=policy.routes,
            blocked_tools=policy.config.blocked_tools,
        )
        left = max(timedelta(0), self._timeout - timedelta(seconds=time.monotonic() - began))
        context = self._contexts.build(caller, asker, left)
        async with self._orchestrator.turn(context, turn) as events:
            yield events

    def _note(self, caller: Caller, request: ChatRequest) -> None:
        """For a dry run over the tenant's last requests, as long as its retention allows."""
        keep_for = timedelta(days=caller.policy.config.retention_days)
        asked = RecentRequest(caller.request_id, utc_now(), request.query, request.locale)
        self._notes.note(caller.tenant_id, asked, keep_for=keep_for)

    def _over_limit(self, tenant_id: TenantId, decision: Decision) -> RateLimitedError:
        window = decision.refused_by
        assert window is not None  # noqa: S101  `allowed` is false
        self._metrics.count(names.THROTTLED_COUNT, reason=window.name)
        return RateLimitedError(
            f"the limit of {window.limit} {window.name.replace('_', ' ')} is used up",
            details={"limit": window.name, "value": window.limit, "headers": dict(decision.headers())},
            retry_after_s=decision.retry_after_s,
        )


async def _just(*events: TurnEvent) -> AsyncIterator[TurnEvent]:
    for event in events:
        yield event
