"""One chat request, from the limits to the stream of events."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from contracts.chat import (
    ChatRequest,
    DoneEvent,
    ErrorEvent,
    MetaEvent,
    Refusal,
    RefusalEvent,
    TokenEvent,
    TurnEvent,
    TurnRequest,
)
from contracts.errors import AtriumError, UpstreamError, UpstreamTimeoutError
from contracts.tenant import TenantId
from router.domain.caller import Caller
from router.domain.recent_request import RecentRequest
from router.domain.worst_case import Bounds, WorstCase
from router.ports import Orchestrator
from router.service.accounts import Account, Accounts
from router.service.contexts import Asker, ContextFactory
from router.service.engine_places import EnginePlaces, Place
from router.service.judging import Judge
from router.service.recent import RecentNotes
from servicekit.tokens import utc_now
from tenancy.usage import Outcome

SETTLE_S = 5.0
"""Behind a request's deadline: until then it has been settled, whatever became of it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A request that was admitted. `events` ends with `done`, `refusal` or `error`; what has come of them so far is in
    the account's transcript. The last is given once the request's row stands in the ledger.

    A route that is not among `allowed_routes` may be in the log, but not in the answer.
    """

    account: Account
    events: AsyncIterator[TurnEvent]
    queue_ms: float = 0.0
    """How long it waited for its place in the engine pool."""

    @property
    def tenant_id(self) -> TenantId:
        return self.account.caller.tenant_id

    @property
    def session_id(self) -> str:
        return self.account.session_id

    @property
    def config_version(self) -> int:
        return self.account.caller.policy.version

    @property
    def allowed_routes(self) -> tuple[str, ...]:
        return self.account.caller.policy.config.allowed_routes

    @property
    def limit_headers(self) -> Mapping[str, str]:
        return self.account.admission.headers()


class ChatService:
    def __init__(
        self,
        accounts: Accounts,
        places: EnginePlaces,
        orchestrator: Orchestrator,
        contexts: ContextFactory,
        notes: RecentNotes,
        judge: Judge,
        worst_case: WorstCase,
        *,
        timeout: timedelta,
    ) -> None:
        self._accounts = accounts
        self._places = places
        self._orchestrator = orchestrator
        self._contexts = contexts
        self._notes = notes
        self._judge = judge
        self._worst_case = worst_case
        self._timeout = timeout

    @asynccontextmanager
    async def open(self, caller: Caller, request: ChatRequest) -> AsyncIterator[Turn]:
        """Admit a request and begin its turn; leaving the context early stops the work behind it, and settles what was
        used.

        Raises RateLimitedError, OverloadedError, UpstreamTimeoutError, or what the orchestrator raised before it began.
        """
        session_id = request.session_id or uuid.uuid4().hex
        sent = await self._redacted(caller, request)
        bounds = self._worst_case.of(caller.policy, sent.query)
        async with self._accounts.open(
            caller,
            lease_id=uuid.uuid4().hex,
            user_id=request.user_id,
            session_id=session_id,
            bounds=bounds,
            deadline_s=self._timeout.total_seconds() + SETTLE_S,
        ) as account:
            self._note(caller, sent)
            asker = Asker(request.user_id, session_id)
            began = time.monotonic()
            refusal = await self._refusal(caller, request)
            if refusal is not None:
                events = _just(MetaEvent(route="", route_score=0.0, model=""), RefusalEvent(refusal=refusal))
                yield Turn(account, self._metered(account, events, None))
                return
            async with (
                self._place(caller, bounds, began) as place,
                self._events(caller, sent, asker, bounds, began) as events,
                aclosing(self._metered(account, events, place)) as metered,
            ):
                yield Turn(account, metered, queue_ms=round(place.waited_s * 1000, 3))

    async def _refusal(self, caller: Caller, request: ChatRequest) -> Refusal | None:
        policy = caller.policy
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await self._judge.refusal(policy.tenant_id, policy.rules, request.query)
        except TimeoutError as error:
            raise UpstreamTimeoutError("the tenant's rules were not through with the prompt in time") from error

    async def _redacted(self, caller: Caller, request: ChatRequest) -> ChatRequest:
        """The request as it is kept and sent on. The rules still judge what was asked."""
        policy = caller.policy
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                query = await self._judge.redacted(policy.tenant_id, policy.input_redactor, request.query)
        except TimeoutError as error:
            raise UpstreamTimeoutError("the prompt was not redacted in time") from error
        return request if query == request.query else request.model_copy(update={"query": query})

    def _place(self, caller: Caller, bounds: Bounds, began: float) -> AbstractAsyncContextManager[Place]:
        """Its turn among all tenants' requests. Raises OverloadedError where that would come too late."""
        policy = caller.policy
        return self._places.place(
            policy.pool,
            policy.tenant_id,
            policy.config.weight,
            time_left_s=self._left(began).total_seconds(),
            expected_tokens=bounds.prompt,
        )

    @asynccontextmanager
    async def _events(
        self, caller: Caller, request: ChatRequest, asker: Asker, bounds: Bounds, began: float
    ) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        policy = caller.policy
        turn = TurnRequest(
            query=request.query,
            locale=request.locale or policy.config.locale,
            routes=policy.routes,
            blocked_tools=policy.config.blocked_tools,
            max_tokens=bounds.answer,
            passage_injection=policy.config.passage_injection,
            strip_passage_links=policy.config.strip_passage_links,
        )
        context = self._contexts.build(caller, asker, self._left(began))
        async with self._orchestrator.turn(context, turn) as events:
            yield events

    def _left(self, began: float) -> timedelta:
        return max(timedelta(0), self._timeout - timedelta(seconds=time.monotonic() - began))

    async def _metered(
        self, account: Account, events: AsyncIterator[TurnEvent], place: Place | None
    ) -> AsyncGenerator[TurnEvent, None]:
        transcript = account.transcript
        try:
            async for event in events:
                transcript.add(event)
                if place is not None:
                    place.charge(transcript.prompt_tokens, transcript.completion_tokens)
                if not isinstance(event, TokenEvent) and (outcome := _outcome(event)):
                    await self._accounts.settled(account, outcome)
                yield event
        except AtriumError as error:
            account.outcome = account.outcome or _outcome_of(error.code)
            raise
        if not account.transcript.ended:
            account.outcome = Outcome.ERROR
            raise UpstreamError("the orchestrator broke off")

    def _note(self, caller: Caller, request: ChatRequest) -> None:
        """For a dry run over the tenant's last requests, as long as its retention allows."""
        keep_for = timedelta(days=caller.policy.config.retention_days)
        asked = RecentRequest(caller.request_id, utc_now(), request.query, request.locale)
        self._notes.note(caller.tenant_id, asked, keep_for=keep_for)


def _outcome(event: TurnEvent) -> Outcome | None:
    """What a last event makes of its request; None for the others."""
    match event:
        case DoneEvent():
            return Outcome.ANSWERED
        case RefusalEvent():
            return Outcome.REFUSED
        case ErrorEvent():
            return _outcome_of(event.code)
        case _:
            return None


def _outcome_of(code: str) -> Outcome:
    return Outcome.TIMEOUT if code == UpstreamTimeoutError.code else Outcome.ERROR


async def _just(*events: TurnEvent) -> AsyncIterator[TurnEvent]:
    for event in events:
        yield event
