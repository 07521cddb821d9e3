"""What a client asks, before the tenant's rules and the moderation service; and what is recalled, before today's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Literal

from contracts.chat import Refusal
from contracts.errors import OverloadedError, PromptTooLongError, UpstreamTimeoutError
from guard.rules import Rule
from observability import names
from observability.metrics import Metrics
from router.domain.asked import Asked
from router.domain.blocked_tools import refuse_tools, tools_of
from router.domain.caller import Caller
from router.domain.memory import Memory
from router.domain.policy import Policy
from router.service.judging import Judge
from router.service.moderating import Moderating
from tenancy.conversations import EarlierTurn

MEMORY_S = 5.0
"""How long a request waits for the rules over what was said before; what has no verdict by then is not sent."""


class Vetting:
    """`note_redacted` is told which of the tenant's rules replaced something in what a client asked."""

    def __init__(
        self,
        judge: Judge,
        moderating: Moderating,
        note_redacted: Callable[[Caller, Sequence[Rule], Literal["input"]], None],
        metrics: Metrics,
        *,
        timeout: timedelta,
    ) -> None:
        self._judge = judge
        self._moderating = moderating
        self._note_redacted = note_redacted
        self._metrics = metrics
        self._timeout_s = timeout.total_seconds()

    async def refusal(self, caller: Caller, asked: Asked, sent: Asked, *, moderated: bool = True) -> Refusal | None:
        """By the rules, of what was asked; by the moderation service, which is told no more than the engine."""
        policy = caller.policy
        if refusal := refuse_tools(tools_of(asked), policy.config.blocked_tools, "input"):
            return refusal
        try:
            async with asyncio.timeout(self._timeout_s):
                said = filter(None, (*asked.texts(), *asked.schemas(), *asked.escaped(), *asked.options.stop))
                if refusal := await self._judge.refusal(policy.tenant_id, policy.rules, *said):
                    return refusal
                return await self._moderating.input(policy, _whole(sent)) if moderated else None
        except TimeoutError as error:
            raise UpstreamTimeoutError("the prompt was not judged in time") from error

    async def redacted(self, caller: Caller, asked: Asked) -> Asked:
        """The request as it is kept and sent on. The rules still judge what was asked."""
        if not caller.policy.redacts_input:
            return asked
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._judge.redacted(caller.policy, *asked.unescaped())
        except TimeoutError as error:
            raise UpstreamTimeoutError("the prompt was not redacted in time") from error
        self._note_redacted(caller, found.rules, "input")
        return asked.with_texts(found.texts)

    async def memory(self, caller: Caller, memory: Memory, sent: Asked) -> Memory:
        """What of it today's rules let through, redacted as they say. A turn that they refuse is left out, so that it
        does not stand in the way of every later question; all of them, where the moderation service lets the question
        pass alone and not with what was said before. Raises ModerationUnavailableError."""
        if memory.empty:
            return memory
        kept = await self._let_through(caller.policy, memory)
        if kept.empty or "input" not in caller.policy.config.moderation.stages:
            return kept
        try:
            async with asyncio.timeout(self._timeout_s):
                flagged = await self._moderating.input(caller.policy, _whole(kept.joined(sent)))
        except TimeoutError as error:
            raise UpstreamTimeoutError("the prompt was not judged in time") from error
        if flagged is None:
            return kept
        self._metrics.count(names.MEMORY_LEFT_OUT, len(kept.turns), reason="flagged")
        return kept.forgotten()

    async def _let_through(self, policy: Policy, memory: Memory) -> Memory:
        kept: list[EarlierTurn] = []
        summary, refused = "", 0
        with suppress(TimeoutError, OverloadedError):
            async with asyncio.timeout(MEMORY_S):
                if memory.summary:
                    summary, *_ = await self._texts(policy, (memory.summary,)) or ("",)
                for turn in reversed(memory.turns):
                    texts = await self._texts(policy, (turn.question, turn.answer))
                    if texts is None:
                        refused += 1
                    else:
                        kept.append(replace(turn, question=texts[0], answer=texts[1]))
        if refused:
            self._metrics.count(names.MEMORY_LEFT_OUT, refused, reason="refused")
        if late := len(memory.turns) - len(kept) - refused:
            self._metrics.count(names.MEMORY_LEFT_OUT, late, reason="late")
        return memory.with_turns(summary, tuple(reversed(kept)))

    async def _texts(self, policy: Policy, texts: Sequence[str]) -> Sequence[str] | None:
        """As they may be sent; None where one may not."""
        try:
            if await self._judge.refusal(policy.tenant_id, policy.rules, *texts):
                return None
            return (await self._judge.redacted(policy, *texts)).texts
        except PromptTooLongError:
            return None


def _whole(asked: Asked) -> str:
    return "\n\n".join(filter(None, (*asked.texts(), *asked.schemas())))
