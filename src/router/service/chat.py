"""One chat request, from the limits to the stream of events."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from contracts.chat import MAX_PRIORITY, MetaEvent, Refusal, RefusalEvent, TurnEvent, TurnRequest, Usage
from contracts.errors import AtriumError, UpstreamTimeoutError
from observability.tracing import span
from router.domain.asked import Asked
from router.domain.caller import Caller
from router.domain.first_answer import FirstAnswer
from router.domain.memory import Memory
from router.domain.recent_request import RecentRequest
from router.domain.transcript import Transcript
from router.domain.worst_case import Bounds, WorstCase
from router.ports import Orchestrator
from router.service.accounts import Account, Accounts
from router.service.contexts import Asker, ContextFactory
from router.service.engine_places import EnginePlaces, Place
from router.service.first_answers import FirstAnswers, Once
from router.service.pools import Pools
from router.service.recent import RecentNotes
from router.service.remembering import Keep, Remembering
from router.service.telling import Telling
from router.service.vetting import Vetting
from servicekit.tokens import utc_now

SETTLE_S = 5.0
"""Behind a request's deadline: until then it has been settled, whatever became of it."""


@dataclass(frozen=True, slots=True)
class Queued:
    """Among a turn's events: it waits for a place in the engine, `position` being its place in line (1 is next)."""

    position: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A request that is answered. `events` ends with `done`, `refusal` or `error`; what has come of them so far is in
    `transcript`. The last is given once the request's row stands in the ledger.

    A route that is not among `allowed_routes` may be in the log, but not in the answer. `request_id`, `session_id` and
    `config_version` are those of the request that was answered first, where this one repeats it.
    """

    request_id: str
    session_id: str
    config_version: int
    caller: Caller
    transcript: Transcript
    events: AsyncIterator[TurnEvent | Queued]
    headers: Mapping[str, str]
    usage: Callable[[], Usage]
    """So far."""
    cost: Callable[[], float]
    """So far, in USD."""
    place: Place | None = None
    repeats: bool = False
    """It was answered before, and uses nothing."""

    @property
    def queue_ms(self) -> float:
        """How long it waited for its place in the engine pool."""
        return round(self.place.waited_s * 1000, 3) if self.place else 0.0

    @property
    def allowed_routes(self) -> tuple[str, ...]:
        return self.caller.policy.config.allowed_routes


@dataclass(frozen=True, slots=True)
class _Work:
    """A request that was admitted. `began` is on `time.monotonic`'s clock."""

    account: Account
    asked: Asked
    bounds: Bounds
    began: float
    once: Once
    transcript: Transcript
    memory: Memory
    keep: Keep

    @property
    def caller(self) -> Caller:
        return self.account.caller

    def turn(self, events: AsyncIterator[TurnEvent | Queued], place: Place | None = None) -> Turn:
        account, caller = self.account, self.caller
        return Turn(
            caller.request_id,
            account.session_id,
            caller.policy.version,
            caller,
            self.transcript,
            events,
            {**account.admission.headers(), "x-conversation-memory": self.memory.mode.value},
            usage=lambda: account.used.usage,
            cost=lambda: account.cost_usd,
            place=place,
        )


class ChatService:
    def __init__(
        self,
        accounts: Accounts,
        places: EnginePlaces,
        pools: Pools,
        orchestrator: Orchestrator,
        contexts: ContextFactory,
        notes: RecentNotes,
        vetting: Vetting,
        remembering: Remembering,
        telling: Telling,
        worst_case: WorstCase,
        first_answers: FirstAnswers,
        *,
        timeout: timedelta,
        hold: timedelta = timedelta(0),
    ) -> None:
        """`hold`: how long a request may wait for a pool without replicas, beside its `timeout`."""
        self._accounts = accounts
        self._places = places
        self._pools = pools
        self._orchestrator = orchestrator
        self._contexts = contexts
        self._notes = notes
        self._vetting = vetting
        self._remembering = remembering
        self._telling = telling
        self._worst_case = worst_case
        self._first_answers = first_answers
        self._timeout = timeout
        self._hold = hold

    @asynccontextmanager
    async def open(
        self, caller: Caller, asked: Asked, *, key: str | None = None, tell_queue: bool = False
    ) -> AsyncIterator[Turn]:
        """Admit a request and begin its turn; leaving the context early stops the work behind it, and settles what was
        used. A request that repeats an earlier one of the same `key` is answered as that was, and is not admitted.

        `tell_queue`, for an answer that is streamed: where there is no place for it at once, the turn begins with its
        positions in line, and what was told of an answer that breaks off is remembered. Else it begins
        when the orchestrator has begun, and what went wrong before is raised: RateLimitedError, OverloadedError,
        UpstreamTimeoutError, ModerationUnavailableError, RequestInProgressError, IdempotencyMismatchError, or what the
        orchestrator raised.
        """
        async with self._first_answers.once(caller, asked, key) as once:
            if once.first is not None:
                async with self._again(caller, asked, once.first) as turn:
                    yield turn
                return
            async with self._admitted(caller, asked, once, tell_queue=tell_queue) as turn:
                yield turn

    @asynccontextmanager
    async def _again(self, caller: Caller, asked: Asked, first: FirstAnswer) -> AsyncIterator[Turn]:
        """What today's rules refuse, they refuse a repetition too, and so in its answer."""
        changed = first.config_version != caller.policy.version
        sent = await self._vetting.redacted(caller, asked) if changed else asked  # for the moderation service alone
        refusal = await self._vetting.refusal(caller, asked, sent, moderated=changed)
        told = (first.meta, RefusalEvent(refusal=refusal)) if refusal else tuple(first.events())
        transcript = Transcript()
        async with self._telling.again(caller, transcript, _just(*told), first=first, moderated=changed) as events:
            yield Turn(
                first.request_id,
                first.session_id,
                first.config_version,
                caller,
                transcript,
                events,
                {"idempotency-replayed": "true"},
                usage=lambda: first.usage,
                cost=lambda: first.cost_usd,
                repeats=True,
            )

    @asynccontextmanager
    async def _admitted(self, caller: Caller, asked: Asked, once: Once, *, tell_queue: bool) -> AsyncIterator[Turn]:
        session_id = asked.session
        memory = await self._remembering.recall(caller, asked, session_id)
        bounds = self._worst_case.of(caller.policy, memory.joined(asked))
        async with self._accounts.open(
            caller,
            lease_id=uuid.uuid4().hex,
            user_id=asked.user_id,
            session_id=session_id,
            bounds=bounds,
            deadline_s=(self._timeout + self._hold).total_seconds() + SETTLE_S,
        ) as account:
            began = time.monotonic()
            sent = await self._vetting.redacted(caller, asked)
            self._note(caller, sent)
            with self._remembering.keeping(account, memory, sent, streamed=tell_queue) as keep:
                refusal = await self._vetting.refusal(caller, asked, sent)
                if refusal is None:
                    memory = await self._vetting.memory(caller, memory, sent)
                work = _Work(account, sent, bounds, began, once, Transcript(), memory, keep)
                async with self._answered(work, refusal, tell_queue=tell_queue) as turn:
                    yield turn

    @asynccontextmanager
    async def _answered(self, work: _Work, refusal: Refusal | None, *, tell_queue: bool) -> AsyncIterator[Turn]:
        if refusal is not None:
            async with self._told(work, _just(*_refused(refusal))) as told:
                yield work.turn(told)
            return
        async with AsyncExitStack() as held:
            place = await held.enter_async_context(self._place(work))
            if tell_queue and not place.is_ready:
                async with aclosing(self._queued(work, held, place)) as told:
                    yield work.turn(told, place)
                return
            with span("queue wait"):
                await place.ready()
            place, events = await self._begun(work, held, place)
            async with self._told(work, events, place) as told:
                yield work.turn(told, place)

    async def _begun(self, work: _Work, held: AsyncExitStack, place: Place) -> tuple[Place, AsyncIterator[TurnEvent]]:
        """The turn's events, from the pool of `place`, or once from another: what its own failed to begin, a tenant
        that may spill has begun there. `held` has the place and the turn until it is left."""
        try:
            return place, await held.enter_async_context(self._events(work, place))
        except AtriumError as error:
            if not self._pools.failed(work.caller.policy, work.account.pool, error):
                raise
        await held.aclose()
        place = await held.enter_async_context(self._place(work))
        await place.ready()
        return place, await held.enter_async_context(self._events(work, place))

    def _place(self, work: _Work) -> AbstractAsyncContextManager[Place]:
        """In the queue of all tenants' requests. Raises OverloadedError where its turn would come too late."""
        policy = work.caller.policy
        work.account.pool = self._pools.choose(policy, work.asked.options.model)
        return self._places.join(
            work.account.pool,
            policy.tenant_id,
            policy.config.weight,
            time_left_s=self._left(work.began).total_seconds(),
            expected_tokens=work.bounds.likely_prompt,
        )

    async def _queued(
        self, work: _Work, held: AsyncExitStack, place: Place
    ) -> AsyncGenerator[TurnEvent | Queued, None]:
        with work.account.failing():
            with span("queue wait"):
                async for position in place.positions():
                    yield Queued(position)
            place, events = await self._begun(work, held, place)
            async with self._told(work, events, place) as told:
                async for event in told:
                    yield event

    def _told(
        self, work: _Work, events: AsyncIterator[TurnEvent], place: Place | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[TurnEvent]]:
        return self._telling.told(work.account, work.transcript, events, once=work.once, keep=work.keep, place=place)

    @asynccontextmanager
    async def _events(self, work: _Work, place: Place) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        policy, asked = work.caller.policy, work.asked
        turn = TurnRequest(
            query=asked.query,
            conversation=work.memory.joined(asked).conversation,
            options=asked.options,
            summarise=work.memory.to_summarise(work.bounds.prompt),
            locale=asked.locale or policy.config.locale,
            routes=policy.routes,
            blocked_tools=policy.config.blocked_tools,
            model=policy.config.model,
            adapters=policy.config.adapters,
            max_tokens=work.bounds.answer,
            priority=min(MAX_PRIORITY, place.priority),
            passage_injection=policy.config.passage_injection,
            strip_passage_links=policy.config.strip_passage_links,
            min_passage_score=policy.config.min_passage_score,
            when_nothing_found=policy.config.when_nothing_found,
            ranking=policy.config.ranking,
            external=policy.config.external_engine,
        )
        asker = Asker(asked.user_id, work.account.session_id)
        left = self._left(work.began + place.held_s)
        context = self._contexts.build(work.caller, asker, left, pool=work.account.pool)
        self._accounts.begin(work.account)
        events: AsyncIterator[TurnEvent] | None = None
        try:
            async with self._orchestrator.turn(context, turn) as events:
                yield events
        except AtriumError as error:
            if events is None and not isinstance(error, UpstreamTimeoutError):
                place.charge(0, 0)  # no engine has had it
            raise

    def _left(self, began: float) -> timedelta:
        return max(timedelta(0), self._timeout - timedelta(seconds=time.monotonic() - began))

    def _note(self, caller: Caller, sent: Asked) -> None:
        """For a dry run over the tenant's last requests, as long as its retention allows."""
        keep_for = timedelta(days=caller.policy.config.retention_days)
        request = RecentRequest(caller.request_id, utc_now(), sent.query, sent.locale)
        self._notes.note(caller.tenant_id, request, keep_for=keep_for)


def _refused(refusal: Refusal) -> tuple[TurnEvent, ...]:
    return MetaEvent(route="", route_score=0.0, model=""), RefusalEvent(refusal=refusal)


async def _just(*events: TurnEvent) -> AsyncIterator[TurnEvent]:
    for event in events:
        yield event
