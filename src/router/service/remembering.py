"""What was said before in a session, and what is said now: recalled before a request, kept when it has been told.

The store is the truth, Valkey has copies. Where neither answers in time the question is answered without memory, and
the answer says so. A turn that was told is committed before the answer's last word, unless that takes longer than a
second: then it is written behind it. A router that dies in between loses it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Self

from contracts.chat import SummaryEvent
from contracts.errors import AtriumError, DependencyDownError, NotFoundError, OverloadedError
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from router.domain.asked import Asked
from router.domain.caller import Caller
from router.domain.memory import Bounds, Memory, Mode, continued, since_retention
from router.domain.transcript import Transcript
from router.ports import SessionCache
from router.service.accounts import Account
from router.service.guarding import Guarding
from router.service.turn_writer import TurnWriter
from servicekit.tenant_slots import TenantSlots
from tenancy.conversations import Conversations, EarlierTurn, Recalled, SessionKey, ToldTurn, TurnState

_logger = logging.getLogger("atrium.memory")

CACHE_S = 0.2
STORE_S = 1.0
"""How long a request waits for what was said before, from the cache and from the store."""
AT_ONCE, WAITING = 3, 64
"""Of a tenant's sessions that are read from the store: three of the ten connections to the database."""
KEPT_S = 1.0
"""How long the end of an answer waits until its turn is kept."""


class Remembering:
    def __init__(
        self,
        store: Conversations,
        cache: SessionCache,
        writer: TurnWriter,
        guarding: Guarding,
        metrics: Metrics,
        *,
        bounds: Bounds,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._cache = cache
        self._writer = writer
        self._guarding = guarding
        self._metrics = metrics
        self._bounds = bounds
        self._now = now
        self._slots = TenantSlots(AT_ONCE, waiting=WAITING)
        self._behind: set[asyncio.Task[None]] = set()
        self._failing = False

    async def recall(self, caller: Caller, asked: Asked, session_id: str) -> Memory:
        """Takes at most 1.2 seconds. Raises NotFoundError where the tenant is gone."""
        key, began = SessionKey(caller.tenant_id, asked.user_id, session_id), time.monotonic()
        retention = timedelta(days=caller.policy.config.retention_days)
        if not retention or not self._bounds.turns or not asked.remembered:
            return Memory(key, began, Mode.OFF)
        if asked.session_id is None:
            return Memory.of(key, began, Recalled(), self._bounds)
        found = await self._recalled(key, caller.born, self._now() - retention)
        if found is None:
            return Memory(key, began, Mode.UNAVAILABLE)
        return Memory.of(key, began, found, self._bounds)

    def keeping(self, account: Account, memory: Memory, asked: Asked, *, streamed: bool) -> Keep:
        """`asked` as it is sent on."""
        return Keep(self, account, memory, asked.query, streamed=streamed)

    async def close(self) -> None:
        if self._behind:
            await asyncio.wait(self._behind, timeout=KEPT_S)

    async def summary(self, account: Account, text: str) -> str:
        """As it may be kept and shown; empty where an output rule refuses it."""
        return await self._guarding.text(account.caller.policy, text) or ""

    async def keep(self, turn: ToldTurn, memory: Memory) -> None:
        """Returns when it is kept and known to the cache, or not to be kept; never raises what is expected."""
        written, born = await self._writer.write(turn), turn.born
        if written is None or born is None:
            return
        recalled = memory.recalled
        with suppress(AtriumError):  # a copy that is out of date costs one request its last turn
            if recalled is None or written.before != recalled.revision:
                await self._cache.outdate(turn.key, born, written.revision)
                return
            told = EarlierTurn(written.number, turn.question, turn.answer, turn.state, self._now())
            after = continued(recalled, told, turn.summary, written.revision, memory.bounds)
            await self._cache.put(turn.key, born, after)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Behind the request: it ends with the router, not with its client."""
        task = asyncio.create_task(work, name="memory")
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)
        return task

    async def _recalled(self, key: SessionKey, born: datetime, since: datetime) -> Recalled | None:
        """None where it cannot be had in time."""
        found: Recalled | None = None
        with suppress(DependencyDownError, TimeoutError):
            async with asyncio.timeout(CACHE_S):
                found = await self._cache.get(key, born)
        if found is not None:
            self._metrics.count(names.MEMORY_RECALL, source="cache")
            return since_retention(found, since)
        try:
            async with asyncio.timeout(STORE_S), self._slots.held(key.tenant_id):
                bounds = self._bounds
                found = await self._store.recall(
                    key, since=since, turns=2 * bounds.turns, max_bytes=bounds.max_bytes, born=born
                )
        except NotFoundError:
            raise
        except (DependencyDownError, OverloadedError, TimeoutError) as error:
            self._unavailable(error)
            return None
        self._metrics.count(names.MEMORY_RECALL, source="store")
        if self._failing:
            self._failing = False
            log(_logger, logging.INFO, "sessions are recalled again")
        self.start(self._copy(key, born, found))
        return found

    def _unavailable(self, error: Exception) -> None:
        """Counted each time, told once until the store answers again."""
        self._metrics.count(names.MEMORY_RECALL, source="unavailable")
        if not self._failing:
            self._failing = True
            reason = error.code if isinstance(error, AtriumError) else "late"
            log(_logger, logging.WARNING, "sessions cannot be recalled in time", reason=reason)

    async def _copy(self, key: SessionKey, born: datetime, found: Recalled) -> None:
        with suppress(DependencyDownError):
            await self._cache.put(key, born, found)


class Keep:
    """One turn's way into the store, begun once, however the turn ends. Leaving the context keeps what was told of a
    turn that was not told to its end: where it was streamed, since else nothing was."""

    def __init__(
        self, remembering: Remembering, account: Account, memory: Memory, question: str, *, streamed: bool
    ) -> None:
        self._remembering = remembering
        self._account = account
        self._memory = memory
        self._question = question
        self._streamed = streamed
        self._transcript: Transcript | None = None
        self._summary = ""
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        transcript = self._transcript
        if self._ended or transcript is None or not self._streamed or not transcript.answer.strip():
            return
        state = TurnState.LEFT if self._account.outcome is None else TurnState.BROKEN
        self._begin(transcript, state)

    def follow(self, transcript: Transcript) -> None:
        """What is told of the turn."""
        self._transcript = transcript

    async def summarised(self, event: SummaryEvent) -> None:
        self._summary = await self._remembering.summary(self._account, event.text)

    async def told(self, transcript: Transcript) -> None:
        """To its end, or to an error's. Takes a second at most."""
        if transcript.error is not None:
            return  # what was told of it is kept when the turn is left
        state = TurnState.REFUSED if transcript.refusal is not None else TurnState.ANSWERED
        task = self._begin(transcript, state)
        if task is not None:
            await asyncio.wait({task}, timeout=KEPT_S)

    def _begin(self, transcript: Transcript, state: TurnState) -> asyncio.Task[None] | None:
        self._ended = True
        account, memory = self._account, self._memory
        if memory.mode is Mode.OFF:
            return None
        route, used = transcript.meta.route, account.used
        turn = ToldTurn(
            key=memory.key,
            born=account.caller.born,
            turn_id=account.lease_id,
            request_id=account.caller.request_id,
            asked=memory.asked,
            question=self._question,
            answer=transcript.answer,
            state=state,
            route=route if route in account.caller.policy.config.allowed_routes else "",
            citations=tuple(citation.chunk_id for citation in transcript.citations),
            prompt_tokens=used.prompt_tokens,
            completion_tokens=used.completion_tokens,
            summary=memory.summary_of(self._summary),
        )
        return self._remembering.start(self._remembering.keep(turn, memory))
