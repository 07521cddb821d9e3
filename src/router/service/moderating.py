"""Texts before the platform's moderation service, as far as a tenant's config asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from contracts.chat import (
    ErrorEvent,
    Refusal,
    RefusalEvent,
    TokenEvent,
    ToolCallsEvent,
    TurnEvent,
    Usage,
    UsageEvent,
)
from contracts.errors import ModerationUnavailableError
from observability import names
from observability.metrics import Metrics
from router.domain.moderation import refusal_of
from router.domain.policy import Policy
from router.domain.segments import Segment, Segments, pieces
from router.domain.told_calls import spoken
from router.ports import Moderation
from tenancy.config import FailureMode, ModerationStage

AHEAD = 3
"""Segments of one answer that wait to leave, besides the one that is the next and the one just read: at most five are
judged at once. A stream that comes faster is read no further until one has left."""

R = TypeVar("R")

_Judge = Callable[[str], Awaitable[Refusal | None]]


class Moderating:
    """What has no verdict is stopped or let through, as the tenant's `on_failure` says, and counted either way."""

    def __init__(self, moderation: Moderation, metrics: Metrics) -> None:
        self._moderation = moderation
        self._metrics = metrics

    async def input(self, policy: Policy, text: str) -> Refusal | None:
        """None for what passes, and where the tenant asks for no judgement. A long text is judged in pieces at once.

        Raises ModerationUnavailableError.
        """
        if "input" not in policy.config.moderation.stages:
            return None
        return await self._of_pieces(policy, text, "input")

    async def _of_pieces(self, policy: Policy, text: str, stage: ModerationStage) -> Refusal | None:
        verdicts = await asyncio.gather(
            *(self._refusal(policy, piece, stage) for piece in pieces(text)), return_exceptions=True
        )
        for verdict in verdicts:
            if isinstance(verdict, Refusal):
                return verdict
        for verdict in verdicts:
            if isinstance(verdict, BaseException):
                raise verdict
        return None

    @asynccontextmanager
    async def output(self, policy: Policy, events: AsyncIterator[TurnEvent]) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        """The same events in their order, the text of an answer in segments that have passed: nothing of one that has
        not is told. At the first that is flagged, the tokens used so far (`usage`) and a refusal are told, and then
        nothing. Leaving the context stops what is under way; `events` stays its owner's to close.

        Reading raises ModerationUnavailableError, and what `events` raises.
        """
        if "output" not in policy.config.moderation.stages:
            yield events
            return
        answer = _Answer(events, lambda text: self._of_pieces(policy, text, "output"))
        async with aclosing(answer.told()) as told:
            yield told

    async def _refusal(self, policy: Policy, text: str, stage: ModerationStage) -> Refusal | None:
        try:
            verdict = await self._moderation.judge(policy.tenant_id, text, stage=stage)
        except ModerationUnavailableError:
            passes = policy.config.moderation.on_failure is FailureMode.OPEN
            self._metrics.count(names.MODERATION, stage=stage, outcome="let_through" if passes else "stopped")
            if passes:
                return None
            raise
        self._metrics.count(names.MODERATION, stage=stage, outcome="flagged" if verdict.flagged else "passed")
        return refusal_of(verdict, stage)


class _Told(NamedTuple):
    """An event that is told if its judgement, where it needs one, finds nothing."""

    event: TurnEvent
    judgement: asyncio.Future[Refusal | None] | None = None


class _Answer:
    """One answer: read ahead by a task of its own, judged by one task a segment, told in order."""

    def __init__(self, events: AsyncIterator[TurnEvent], judge: _Judge) -> None:
        self._events = events
        self._judge = judge
        self._segments = Segments()
        self._used = Usage()
        self._line: asyncio.Queue[_Told | Exception | None] = asyncio.Queue(AHEAD)
        self._tasks: set[asyncio.Future[Any]] = set()

    async def told(self) -> AsyncGenerator[TurnEvent, None]:
        reading = self._started(self._read())
        try:
            while (next_ := await self._line.get()) is not None:
                if isinstance(next_, Exception):
                    raise next_
                refusal = await next_.judgement if next_.judgement is not None else None
                if refusal is not None:
                    reading.cancel()  # nothing more is taken from the engine
                    for event in self._refused(refusal):
                        yield event
                    return
                yield next_.event
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for event in self._events:
                if isinstance(event, TokenEvent):
                    self._used = Usage.of(event.prompt_tokens, event.completion_tokens)
                    await self._put(self._segments.feed(event.text))
                    continue
                if isinstance(event, UsageEvent):
                    self._used = event.usage
                if not isinstance(event, RefusalEvent | ErrorEvent):  # behind which what is held is told no more
                    await self._put(self._segments.finish())
                await self._line.put(_Told(event, self._judged_whole(event)))
        except Exception as error:  # noqa: BLE001  raised again where the events are told
            await self._line.put(error)
        else:
            await self._line.put(None)

    def _judged_whole(self, event: TurnEvent) -> asyncio.Future[Refusal | None] | None:
        if not isinstance(event, ToolCallsEvent):
            return None
        return self._started(self._judge("\n\n".join(map(spoken, event.calls))))

    async def _put(self, segments: list[Segment]) -> None:
        for segment in segments:
            prompt, completion = self._used.prompt_tokens, self._used.completion_tokens
            event = TokenEvent(text=segment.text, prompt_tokens=prompt, completion_tokens=completion)
            judgement = None if segment.blank else self._started(self._judge(segment.judged))
            await self._line.put(_Told(event, judgement))

    def _started(self, work: Awaitable[R]) -> asyncio.Future[R]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Future[R]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: whoever would have been told may have gone

    def _refused(self, refusal: Refusal) -> list[TurnEvent]:
        used: list[TurnEvent] = [UsageEvent(usage=self._used)] if self._used.total_tokens else []
        return [*used, RefusalEvent(refusal=refusal)]
