"""What a place is charged for a turn that never came to an engine."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.errors import AtriumError, OverloadedError, PromptTooLongError, UpstreamError, UpstreamTimeoutError
from contracts.tenant import TenantId
from router.domain.asked import Asked
from router.domain.memory import Memory, Mode
from router.domain.worst_case import WorstCase
from router.service.chat import ChatService
from router.service.contexts import ContextFactory
from servicekit.tokens import utc_now
from support.policies import a_caller, a_policy
from tenancy.conversations import SessionKey

POLICY = a_policy()
WORST_CASE = WorstCase(context_tokens=4_096, answer_tokens=512, passages_bytes=6_000)


class Place:
    def __init__(self) -> None:
        self.priority = 0
        self.held_s = 0.0
        self.charged: list[tuple[int, int]] = []

    def charge(self, prompt_tokens: int, completion_tokens: int) -> None:
        self.charged.append((prompt_tokens, completion_tokens))


class Accounts:
    def __init__(self) -> None:
        self.begun: list[object] = []

    def begin(self, account: object) -> None:
        self.begun.append(account)


async def events() -> AsyncIterator[Any]:
    for event in ():
        yield event


async def after(failure: AtriumError, *, having_begun: bool) -> tuple[Place, Accounts]:
    """A turn that fails: when the orchestrator was asked, or with its events."""

    @asynccontextmanager
    async def turn(*_: object) -> AsyncIterator[AsyncIterator[Any]]:
        if not having_begun:
            raise failure
        yield events()

    unused: Any = None
    place: Any = Place()
    accounts: Any = Accounts()
    orchestrator: Any = SimpleNamespace(turn=turn)
    contexts = ContextFactory(salt_secret=b"salt", now=utc_now)
    rest: tuple[Any, Any, Any, Any] = (unused,) * 4
    chat = ChatService(
        accounts, unused, unused, orchestrator, contexts, *rest, WORST_CASE, unused, timeout=timedelta(seconds=9)
    )
    work: Any = SimpleNamespace(
        account=SimpleNamespace(session_id="s", pool="pooled"),
        caller=a_caller(POLICY),
        asked=Asked(query="hello"),
        bounds=WORST_CASE.of(POLICY, Asked(query="hello")),
        began=time.monotonic(),
        memory=Memory(SessionKey(TenantId("t1"), "u", "s"), 0.0, Mode.OFF),
    )
    with pytest.raises(type(failure)):
        async with chat._events(work, place):
            raise failure
    return place, accounts


@pytest.mark.parametrize(
    "failure", [UpstreamError("gone"), OverloadedError("full", retry_after_s=1), PromptTooLongError("long")]
)
async def test_a_turn_that_reached_no_engine_is_charged_nothing(failure: AtriumError) -> None:
    place, accounts = await after(failure, having_begun=False)
    assert place.charged == [(0, 0)]
    assert len(accounts.begun) == 1


async def test_a_turn_that_an_engine_may_have_had_stays_charged_as_expected() -> None:
    for failure, having_begun in ((UpstreamTimeoutError("late"), False), (UpstreamError("broke"), True)):
        place, _ = await after(failure, having_begun=having_begun)
        assert place.charged == []


def test_a_likely_prompt_is_four_bytes_a_token_and_no_passages() -> None:
    bounds = WORST_CASE.of(POLICY, Asked(query="x" * 4_004))
    assert bounds.likely_prompt - WORST_CASE.of(POLICY, Asked(query="xxxx")).likely_prompt == 1_000
    assert bounds.likely_prompt <= bounds.prompt
