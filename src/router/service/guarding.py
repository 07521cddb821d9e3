"""An answer before the tenant's rules and detectors, while it is told: nothing that is refused or redacted leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TypeVar

from contracts.chat import (
    Citation,
    CitationsEvent,
    ErrorEvent,
    Refusal,
    RefusalEvent,
    Source,
    TokenEvent,
    ToolCallsEvent,
    TurnEvent,
    Usage,
    UsageEvent,
)
from guard.rules import REDACTED, Rule
from guard.stream import StreamGuard, guarded, weight
from router.domain.policy import Policy
from router.domain.refusal import refusal
from router.domain.told_calls import guarded_calls, work_of
from servicekit.cpu_pool import CpuPool

R = TypeVar("R")
SourceT = TypeVar("SourceT", bound=Source)

LONG_WORK = 1_000_000
"""About how many nanoseconds of reading an event loop is held up for; what takes longer is read in a thread."""


class Guarding:
    """Rules that take their time are asked in the threads of `pool`, so that they hold up nobody else's stream."""

    def __init__(self, pool: CpuPool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def output(
        self, policy: Policy, events: AsyncIterator[TurnEvent], redacted: Callable[[Sequence[Rule]], None] | None = None
    ) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        """The same events; of the text what may leave. Where a rule refuses, what was used so far and the refusal are
        told, and then nothing. `events` stays its owner's to close. At the end `redacted` is told which rules replaced
        something."""
        guard = policy.output_guard()
        if guard is None and not policy.config.blocked_tools:
            yield events
            return
        guard = guard or StreamGuard(policy.rules.guards.output)
        try:
            async with aclosing(self._guarded(policy, guard, events)) as told:
                yield told
        finally:
            if redacted is not None and guard.redacted:
                redacted([guard.redacted[rank] for rank in sorted(guard.redacted)])

    async def text(self, policy: Policy, text: str) -> str | None:
        """What may be told of a text that is whole; None where a rule refuses it."""
        rules, redactor = policy.rules.guards.output, policy.output_redactor or None
        if not rules.any and redactor is None:
            return text
        work = len(text) * weight(rules, text, redactor)
        left, verdict = await self._done(policy, work, partial(guarded, rules, text, redactor))
        return left if verdict is None else None

    async def _guarded(
        self, policy: Policy, guard: StreamGuard, events: AsyncIterator[TurnEvent]
    ) -> AsyncGenerator[TurnEvent, None]:
        used, finished = Usage(), False
        async for event in events:
            if isinstance(event, TokenEvent):
                used = Usage.of(event.prompt_tokens, event.completion_tokens)
                left = await self._done(policy, guard.work(event.text), partial(guard.feed, event.text))
                if left:
                    yield TokenEvent(left, event.prompt_tokens, event.completion_tokens)
            elif not finished and not isinstance(event, RefusalEvent | ErrorEvent):
                # Behind a refusal or an error nothing more is told of what is held back.
                finished = _ends_text(event)
                rest = await self._done(policy, guard.work(), guard.finish) if finished else ""
                if rest:
                    yield TokenEvent(rest, used.prompt_tokens, used.completion_tokens)
            refused = refusal(guard.verdict) if guard.verdict is not None else None
            told: TurnEvent = event
            if refused is None and isinstance(event, ToolCallsEvent):
                refused, told = await self._calls(policy, guard, event)
            if refused is not None:
                if used.total_tokens:
                    yield UsageEvent(usage=used)
                yield RefusalEvent(refusal=refused)
                return
            if isinstance(event, CitationsEvent):
                yield CitationsEvent(
                    citations=[await self._source(policy, one) for one in event.citations],
                    sources=[await self._source(policy, one) for one in event.sources],
                )
            elif not isinstance(event, TokenEvent):
                yield told

    async def _source(self, policy: Policy, source: SourceT) -> SourceT:
        """What no answer may say, no title and no quotation says either."""
        snippet = {"snippet": source.snippet} if isinstance(source, Citation) else {}
        told = {name: await self.quoted(policy, text) for name, text in {"title": source.title, **snippet}.items()}
        return source.model_copy(update=told)

    async def quoted(self, policy: Policy, text: str) -> str:
        """A text that is told beside answers, as an answer would have told it; a placeholder alone where a rule
        refuses it."""
        told = await self.text(policy, text)
        return REDACTED if told is None else told

    async def _calls(
        self, policy: Policy, guard: StreamGuard, event: ToolCallsEvent
    ) -> tuple[Refusal | None, ToolCallsEvent]:
        read = partial(guarded_calls, policy, event.calls, guard.redacted)
        found = await self._done(policy, work_of(policy, event.calls), read)
        return (found, event) if isinstance(found, Refusal) else (None, ToolCallsEvent(calls=found))

    async def _done(self, policy: Policy, work: int, read: Callable[[], R]) -> R:
        """What `read` returns. `work`: its nanoseconds, at worst."""
        return await self._pool.run(policy.tenant_id, read) if work > LONG_WORK else read()


def _ends_text(event: TurnEvent) -> bool:
    """No token comes behind these."""
    return event.event in {"tool_calls", "citations", "usage", "done"}
