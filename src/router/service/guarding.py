"""An answer before the tenant's rules and detectors, while it is told: nothing that is refused or redacted leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TypeVar

from contracts.chat import (
    Citation,
    CitationsEvent,
    ErrorEvent,
    Refusal,
    RefusalEvent,
    TokenEvent,
    ToolCallsEvent,
    TurnEvent,
    Usage,
    UsageEvent,
)
from guard.rules import REDACTED
from guard.stream import StreamGuard, guarded, weight
from router.domain.policy import Policy
from router.domain.refusal import refusal
from router.domain.told_calls import guarded_calls, work_of
from servicekit.cpu_pool import CpuPool

R = TypeVar("R")

LONG_WORK = 1_000_000
"""About how many nanoseconds of reading an event loop is held up for; what takes longer is read in a thread."""


class Guarding:
    """Rules that take their time are asked in the threads of `pool`, so that they hold up nobody else's stream."""

    def __init__(self, pool: CpuPool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def output(self, policy: Policy, events: AsyncIterator[TurnEvent]) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        """The same events; of the text what may leave. Where a rule refuses, what was used so far and the refusal are
        told, and then nothing. `events` stays its owner's to close."""
        guard = policy.output_guard()
        if guard is None and not policy.config.blocked_tools:
            yield events
            return
        guard = guard or StreamGuard(policy.rules.guards.output)
        async with aclosing(self._guarded(policy, guard, events)) as told:
            yield told

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
                refused, told = await self._calls(policy, event)
            if refused is not None:
                if used.total_tokens:
                    yield UsageEvent(usage=used)
                yield RefusalEvent(refusal=refused)
                return
            if isinstance(event, CitationsEvent):
                yield CitationsEvent(citations=[await self._citation(policy, one) for one in event.citations])
            elif not isinstance(event, TokenEvent):
                yield told

    async def _citation(self, policy: Policy, citation: Citation) -> Citation:
        """What no answer may say, no quotation says either."""
        rules, redactor = policy.rules.guards.output, policy.output_redactor or None
        update = {}
        for name, text in (("title", citation.title), ("snippet", citation.snippet)):
            work = len(text) * weight(rules, text, redactor)
            update[name] = await self._done(policy, work, partial(_guarded_text, policy, text))
        return citation.model_copy(update=update)

    async def _calls(self, policy: Policy, event: ToolCallsEvent) -> tuple[Refusal | None, ToolCallsEvent]:
        found = await self._done(policy, work_of(policy, event.calls), partial(guarded_calls, policy, event.calls))
        return (found, event) if isinstance(found, Refusal) else (None, ToolCallsEvent(calls=found))

    async def _done(self, policy: Policy, work: int, read: Callable[[], R]) -> R:
        """What `read` returns. `work`: its nanoseconds, at worst."""
        return await self._pool.run(policy.tenant_id, read) if work > LONG_WORK else read()


def _ends_text(event: TurnEvent) -> bool:
    """No token comes behind these."""
    return event.event in {"tool_calls", "citations", "usage", "done"}


def _guarded_text(policy: Policy, text: str) -> str:
    left, verdict = guarded(policy.rules.guards.output, text, policy.output_redactor or None)
    return REDACTED if verdict is not None else left
