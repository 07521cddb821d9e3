"""Prompts before a tenant's own rules, so that slow rules hold up nobody but that tenant."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from contracts.chat import MAX_QUERY_CHARS, Refusal
from contracts.errors import PromptTooLongError
from contracts.tenant import TenantId
from guard.rules import Rule
from router.domain.policy import Policy
from router.domain.refusal import LONG_WORK, Judgement, RefusalRules
from servicekit.cpu_pool import CpuPool
from servicekit.tenant_slots import TenantSlots

MAX_WAITING = 32
"""Of a tenant's prompts whose judging is long work. One is judged at a time."""
MANY_TEXTS = 50
"""Of a conversation. Each takes its time, however short it is."""
LONG_TEXT = 400
"""Characters to redact. At worst, in digits that are nearly telephone numbers, one takes 35 microseconds."""
SLICE_S = 0.05
"""Then the next tenant has its turn, and a request that was given up has none any more."""


class Redacted(NamedTuple):
    """Texts without what is replaced in them, and the tenant's rules that replaced something."""

    texts: Sequence[str]
    rules: Sequence[Rule]


class Judge:
    """Short work is done at once, long work in slices in threads of its own."""

    def __init__(self, pool: CpuPool) -> None:
        self._pool = pool
        self._slots = TenantSlots(1, waiting=MAX_WAITING)

    async def refusal(self, tenant_id: TenantId, rules: RefusalRules, *texts: str) -> Refusal | None:
        """Of all that is asked together: by the first rule that matches any of it. Ends, when it is cancelled, with the
        rule that is being asked. Raises OverloadedError."""
        if len(texts) <= MANY_TEXTS and not rules.is_long_work(*texts):
            return rules.judge(*texts)
        async with self._slots.held(tenant_id):
            judgement = rules.begin(*texts)
            while not await self._pool.run(tenant_id, partial(_slice, judgement)):
                pass
            return judgement.refusal

    async def redacted(self, policy: Policy, *texts: str) -> Redacted:
        """Without what the tenant's rules and its detectors replace. The first of `texts` is the question.

        Raises OverloadedError, and PromptTooLongError where the placeholders have made the question too long.
        """
        if not policy.redacts_input:
            return Redacted(texts, ())
        steps = _redacting(policy, texts)
        if sum(map(len, texts)) <= LONG_TEXT and policy.rules.guards.input.redacting_work(*texts) <= LONG_WORK:
            found = next(done for done in steps if done is not None)
        else:
            async with self._slots.held(policy.tenant_id):
                found = await self._redacted_in_slices(policy.tenant_id, steps)
        if len(found.texts[0]) > MAX_QUERY_CHARS:
            raise PromptTooLongError("with placeholders for what is redacted, the question is too long")
        return found

    async def _redacted_in_slices(self, tenant_id: TenantId, steps: Iterator[Redacted | None]) -> Redacted:
        while True:
            found = await self._pool.run(tenant_id, partial(_redacted, steps))
            if found is not None:
                return found


def _redacting(policy: Policy, texts: Sequence[str]) -> Iterator[Redacted | None]:
    """All of them, at the end; None after each piece of the work."""
    found: list[str] = []
    hits = set[int]()
    for text in texts:
        for done in policy.redacting_input(text, hits) if text else ("",):
            if done is not None:
                found.append(done)
            yield None
    yield Redacted(found, [policy.rules.guards.input.redacting_rule(rank) for rank in sorted(hits)])


def _slice(judgement: Judgement) -> bool:
    ends = time.monotonic() + SLICE_S
    while not (ended := judgement.go_on()) and time.monotonic() < ends:
        pass
    return ended


def _redacted(steps: Iterator[Redacted | None]) -> Redacted | None:
    ends = time.monotonic() + SLICE_S
    while (found := next(steps)) is None and time.monotonic() < ends:
        pass
    return found
