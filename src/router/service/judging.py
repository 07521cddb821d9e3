"""Prompts before a tenant's own rules, so that slow rules hold up nobody but that tenant."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from contracts.chat import MAX_QUERY_CHARS, Refusal
from contracts.errors import PromptTooLongError
from contracts.tenant import TenantId
from router.domain.policy import Policy
from router.domain.refusal import LONG_WORK, Judgement, RefusalRules
from servicekit.cpu_pool import CpuPool
from servicekit.tenant_slots import TenantSlots

MAX_WAITING = 32
"""Of a tenant's prompts whose judging is long work. One is judged at a time."""
LONG_TEXT = 400
"""Characters to redact. At worst, in digits that are nearly telephone numbers, one takes 35 microseconds."""
SLICE_S = 0.05
"""Then the next tenant has its turn, and a request that was given up has none any more."""


class Judge:
    """Short work is done at once, long work in slices in threads of its own."""

    def __init__(self, pool: CpuPool) -> None:
        self._pool = pool
        self._slots = TenantSlots(1, waiting=MAX_WAITING)

    async def refusal(self, tenant_id: TenantId, rules: RefusalRules, prompt: str) -> Refusal | None:
        """Ends, when it is cancelled, with the rule that is being asked. Raises OverloadedError."""
        if not rules.is_long_work(prompt):
            return rules.judge(prompt)
        async with self._slots.held(tenant_id):
            judgement = rules.begin(prompt)
            while not await self._pool.run(tenant_id, partial(_slice, judgement)):
                pass
            return judgement.refusal

    async def redacted(self, policy: Policy, prompt: str) -> str:
        """Without what the tenant's rules and its detectors replace.

        Raises OverloadedError, and PromptTooLongError where the placeholders have made it too long.
        """
        if not policy.redacts_input:
            return prompt
        steps = policy.redacting_input(prompt)
        if len(prompt) <= LONG_TEXT and len(prompt) * policy.rules.guards.input.redacting_weight <= LONG_WORK:
            found = next(text for text in steps if text is not None)
        else:
            async with self._slots.held(policy.tenant_id):
                found = await self._redacted_in_slices(policy.tenant_id, steps)
        if len(found) > MAX_QUERY_CHARS:
            raise PromptTooLongError("with placeholders for what is redacted, the question is too long")
        return found

    async def _redacted_in_slices(self, tenant_id: TenantId, steps: Iterator[str | None]) -> str:
        while True:
            found = await self._pool.run(tenant_id, partial(_redacted, steps))
            if found is not None:
                return found


def _slice(judgement: Judgement) -> bool:
    ends = time.monotonic() + SLICE_S
    while not (ended := judgement.go_on()) and time.monotonic() < ends:
        pass
    return ended


def _redacted(steps: Iterator[str | None]) -> str | None:
    ends = time.monotonic() + SLICE_S
    while (text := next(steps)) is None and time.monotonic() < ends:
        pass
    return text
