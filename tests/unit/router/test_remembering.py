"""What is recalled when stores are away, what waits to be written, who may look, what expires."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.context import Role
from contracts.conversation import Conversation, Message
from contracts.errors import DependencyDownError, ForbiddenError, InvalidRequestError, NotFoundError
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from observability.prometheus import PrometheusMetrics
from router.adapters.memory_sessions import MemorySessions
from router.domain.access import Principal
from router.domain.asked import Asked
from router.domain.caller import Caller
from router.domain.memory import Bounds, Memory, Mode
from router.service.group_commit import Pace
from router.service.guarding import Guarding
from router.service.remembering import Remembering
from router.service.retention import Retention
from router.service.sessions import SessionService
from router.service.turn_writer import GIVE_UP_S, TurnWriter
from servicekit.cpu_pool import CpuPool
from support.policies import a_caller, a_policy
from support.telling import told_here
from tenancy.conversations import EarlierTurn, Recalled, SessionKey, Summary, ToldTurn, TurnState
from tenancy.memory_audit import MemoryAuditLog
from tenancy.memory_conversations import MemoryConversations

NOW = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = a_policy()
T1 = POLICY.tenant_id
BOUNDS = Bounds(4, 1_000)


def away(*_: Any, **__: Any) -> Any:
    raise DependencyDownError("away")


def told(number: int, session: str = "s", user: str = "u", tenant: TenantId = T1) -> ToldTurn:
    return ToldTurn(
        SessionKey(tenant, user, session), POLICY.revision.born, f"{tenant}{user}{session}{number}", "r",
        time.monotonic(), f"q{number}", f"a{number}", TurnState.ANSWERED,
    )  # fmt: skip


def a_turn(number: int, size: int = 2, state: TurnState = TurnState.ANSWERED) -> EarlierTurn:
    return EarlierTurn(number, "q" * (size - 1), "a", state, NOW)


@asynccontextmanager
async def remembering(store: Any, cache: Any) -> AsyncIterator[Remembering]:
    pool = CpuPool("guarding", 1)
    writer = TurnWriter(store, NullMetrics())
    async with writer.running():
        yield Remembering(store, cache, writer, Guarding(pool), NullMetrics(), bounds=BOUNDS, now=lambda: NOW)
    pool.close()


def a_store() -> MemoryConversations:
    return MemoryConversations(MemoryAuditLog(), lambda: NOW)


async def test_with_the_cache_away_the_store_is_asked_and_with_both_the_question_goes_alone() -> None:
    store, cache, caller = a_store(), MemorySessions(), a_caller(POLICY)
    await store.write([told(1)])
    cache.get = away  # type: ignore[method-assign]
    asked = Asked(query="why?", user_id="u", session_id="s")
    async with remembering(store, cache) as service:
        found = await service.recall(caller, asked, "s")
        assert (found.mode, [turn.question for turn in found.turns]) == (Mode.ON, ["q1"])
        store.recall = away  # type: ignore[method-assign]
        found = await service.recall(caller, asked, "s")
        assert (found.mode, found.empty) == (Mode.UNAVAILABLE, True)
        assert found.joined(asked) is asked


async def test_that_nothing_can_be_recalled_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    store, cache = a_store(), MemorySessions()
    asked, recall = Asked(query="why?", user_id="u", session_id="s"), store.recall
    with caplog.at_level(logging.INFO):
        async with remembering(store, cache) as service:
            for now in (away, away, recall, recall):
                store.recall = now  # type: ignore[method-assign, assignment]
                cache.get = away  # type: ignore[method-assign]
                await service.recall(a_caller(POLICY), asked, "s")
    assert [record.message for record in told_here(caplog, "atrium.memory")] == [
        "sessions cannot be recalled in time",
        "sessions are recalled again",
    ]


async def test_a_store_that_hangs_is_waited_for_a_second() -> None:
    store = a_store()

    async def hang(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    store.recall = hang  # type: ignore[method-assign]
    async with remembering(store, MemorySessions()) as service:
        began = time.monotonic()
        found = await service.recall(a_caller(POLICY), Asked(query="q", user_id="u", session_id="s"), "s")
        assert found.mode is Mode.UNAVAILABLE
        assert 0.9 < time.monotonic() - began < 5


async def test_a_new_session_asks_nobody_and_a_client_that_keeps_its_conversation_is_let_be() -> None:
    store, cache, caller = a_store(), MemorySessions(), a_caller(POLICY)
    store.recall, cache.get = away, away  # type: ignore[method-assign]
    said = Conversation(before=(Message(role="user", content="hi"),))
    async with remembering(store, cache) as service:
        assert (await service.recall(caller, Asked(query="q"), "new")).mode is Mode.ON
        for asked in (
            Asked(query="q", session_id="s", conversation=said),
            Asked(query="q", session_id="s", keeps_conversation=True),
        ):
            assert (await service.recall(caller, asked, "s")).mode is Mode.OFF


async def test_what_was_written_over_another_revision_than_was_read_is_read_anew() -> None:
    store, cache, caller = a_store(), MemorySessions(), a_caller(POLICY)
    asked = Asked(query="q", user_id="u", session_id="s")
    async with remembering(store, cache) as service:
        first = await service.recall(caller, asked, "s")
        second = await service.recall(caller, asked, "s")
        await service.keep(told(1), first)
        await service.keep(told(2), second)
        again = await service.recall(caller, asked, "s")
        assert [turn.question for turn in again.turns] == ["q1", "q2"]
        await service.keep(told(3), again)
        store.recall = away  # type: ignore[method-assign]
        assert [turn.question for turn in (await service.recall(caller, asked, "s")).turns] == ["q1", "q2", "q3"]


async def test_turns_wait_while_the_store_is_away_and_what_finds_no_room_is_counted() -> None:
    store, metrics = a_store(), PrometheusMetrics()
    write, store.write = store.write, away  # type: ignore[method-assign]
    writer = TurnWriter(store, metrics, max_waiting=2, pace=Pace(first_pause_s=0.001))
    async with writer.running():
        waiting = [writer.write(told(number)) for number in range(3)]
        assert await waiting[2] is None
        await asyncio.sleep(0.01)
        assert not waiting[0].done()
        store.write = write  # type: ignore[method-assign]
        written = await asyncio.gather(*waiting[:2])
    assert [one.number for one in written if one] == [1, 2]
    assert 'atrium_memory_dropped_total{reason="full"} 1.0' in metrics.render().decode()
    assert await writer.write(told(9)) is None


async def test_one_turn_that_cannot_be_kept_holds_up_no_other() -> None:
    store = a_store()
    writer = TurnWriter(store, NullMetrics())
    async with writer.running():
        strange: Any = "strange"
        found = await asyncio.gather(
            writer.write(told(1)), writer.write(replace(told(2), state=strange)), writer.write(told(3))
        )
    assert [one is not None for one in found] == [True, False, True]


async def test_a_turn_that_has_waited_longer_than_an_erasure_is_remembered_is_written_no_more() -> None:
    store, metrics = a_store(), PrometheusMetrics()
    writer = TurnWriter(store, metrics)
    async with writer.running():
        old = replace(told(1), asked=time.monotonic() - GIVE_UP_S - 1)
        assert [one is not None for one in await asyncio.gather(writer.write(old), writer.write(told(2)))] == [
            False,
            True,
        ]
        assert await writer.write(old) is None
    assert 'atrium_memory_dropped_total{reason="late"} 2.0' in metrics.render().decode()


@pytest.mark.parametrize(
    ("sizes", "summarised"), [((2,) * 4, 0), ((2,) * 5, 3), ((2,) * 8, 6), ((300, 300), 1), ((600,), 0), ((), 0)]
)
def test_the_older_part_of_a_long_session_is_to_be_summarised(sizes: Sequence[int], summarised: int) -> None:
    turns = [a_turn(number, size) for number, size in enumerate(sizes, 1)]
    assert BOUNDS.summarised(turns) == summarised


def test_a_refused_turn_is_not_sent_and_a_summary_goes_up_to_the_turn_it_was_asked_for() -> None:
    turns = tuple(a_turn(n, state=TurnState.REFUSED if n == 2 else TurnState.ANSWERED) for n in range(3, 9))
    turns = (a_turn(1), a_turn(2, state=TurnState.REFUSED), *turns)
    memory = Memory.of(SessionKey(T1, "u", "s"), 0.0, Recalled(5, Summary("Before.", 0, None), turns), BOUNDS)
    assert [turn.number for turn in memory.turns] == [1, 3, 4, 5, 6, 7, 8]
    wanted = memory.to_summarise(500)
    assert wanted is not None
    assert (wanted.messages, wanted.prompt_tokens) == (10, 500)
    assert memory.summary_of("New.") == Summary("New.", 6, NOW)
    assert memory.forgotten().to_summarise(500) is None


def as_user(user: str | None, role: Role = Role.TENANT_USER) -> Caller:
    return Caller(Principal(T1, role, "name", user), POLICY, "r", "")


async def test_a_user_sees_and_erases_what_is_its_own_and_nothing_else_exists() -> None:
    store = a_store()
    service = SessionService(store, MemorySessions())
    await store.write([told(1, user="u"), told(2, user="v"), told(3, "t", "v"), told(4, tenant=TenantId("other"))])
    mine = await service.page(as_user("u"), None, None, 9)
    assert [(one.user_id, one.session_id) for one in mine] == [("u", "s")]
    for wrong in (service.page(as_user("u"), "v", None, 9), service.get(as_user("u"), "s", "v", 0, 9),
                  service.get(as_user("u"), "t", None, 0, 9), service.erase(as_user("u"), "t", None),
                  service.erase_all(as_user("u"), "v")):  # fmt: skip
        with pytest.raises(NotFoundError, match="no such session"):
            await wrong
    for role in (Role.TENANT_USER, Role.SERVICE):
        with pytest.raises(ForbiddenError):
            await service.page(as_user(None, role), "u", None, 9)
    admin = as_user(None, Role.TENANT_ADMIN)
    assert len(await service.page(admin, None, None, 9)) == 3
    with pytest.raises(InvalidRequestError):
        await service.get(admin, "s", None, 0, 9)
    with pytest.raises(InvalidRequestError):
        await service.erase_all(admin, None)
    await service.erase(as_user("u"), "s", None)
    assert await service.erase_all(admin, "v") == 2
    assert await service.page(admin, None, None, 9) == []


async def test_what_is_older_than_the_tenants_retention_is_removed_and_of_no_other_tenant() -> None:
    store = MemoryConversations(MemoryAuditLog(), lambda: NOW)
    await store.write([told(1), told(2, tenant=TenantId("other"))])

    class Tenants:
        async def get(self, tenant_id: TenantId) -> Any:
            policy = a_policy(retention_days=1 if tenant_id == T1 else 30)
            return replace(policy, revision=replace(policy.revision, born=(await store.oldest("", 9))[0].born))

    tenants: Any = Tenants()
    await Retention(store, tenants, lambda: NOW + timedelta(hours=23), pause_s=0).run()
    assert len(await store.oldest("", 9)) == 2
    await Retention(store, tenants, lambda: NOW + timedelta(hours=25), pause_s=0).run()
    assert [one.tenant_id for one in await store.oldest("", 9)] == [TenantId("other")]
