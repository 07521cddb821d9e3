"""Conversations, in memory and in PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from support.tenants import ALICE, TenantStores, memory_stores, opened, postgres_stores
from tenancy.conversations import Conversations, Place, Recalled, SessionKey, Summary, ToldTurn, TurnState
from tenancy.memory_conversations import MemoryConversations
from tenancy.postgres_conversations import HOLD_USER, NOTE_ERASURE, PostgresConversations

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
HOUR = 3_600.0


@dataclass(frozen=True)
class World:
    store: Conversations
    stores: TenantStores
    tenant: TenantId
    born: datetime

    def key(self, user: str = "u", session: str = "s") -> SessionKey:
        return SessionKey(self.tenant, user, session)

    async def say(self, *questions: str, user: str = "u", session: str = "s", **fields: Any) -> None:
        """Turns, each with an answer in capitals."""
        turns = [told(self, question, user=user, session=session, **fields) for question in questions]
        await self.store.write(turns)

    async def recall(self, user: str = "u", session: str = "s", **bounds: Any) -> Recalled:
        wanted: dict[str, Any] = {"since": LONG_AGO, "turns": 99, "max_bytes": 100_000} | bounds
        return await self.store.recall(self.key(user, session), born=self.born, **wanted)

    async def questions(self, user: str = "u", session: str = "s", **bounds: Any) -> list[str]:
        return [turn.question for turn in (await self.recall(user, session, **bounds)).turns]


def told(
    world: World, question: str, *, user: str = "u", session: str = "s", ago_s: float = 0.0, **fields: Any
) -> ToldTurn:
    values: dict[str, Any] = {
        "key": world.key(user, session),
        "born": world.born,
        "turn_id": secrets.token_hex(8),
        "request_id": "r1",
        "asked": time.monotonic() - ago_s,
        "question": question,
        "answer": question.upper(),
        "state": TurnState.ANSWERED,
    }
    return ToldTurn(**(values | fields))


async def another(world: World) -> World:
    tenant = await world.stores.add()
    record = await world.stores.tenants.read(tenant)
    assert record is not None
    return World(world.store, world.stores, tenant, record.revision.born)


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        stores = memory_stores()
        yield await another(World(MemoryConversations(stores.audit), stores, TenantId("x"), LONG_AGO))
        return
    async with opened(request.getfixturevalue("database_url")) as database:
        stores = postgres_stores(database)
        yield await another(World(PostgresConversations(database), stores, TenantId("x"), LONG_AGO))


async def test_what_was_told_is_recalled_in_its_order_with_all_that_was_said_of_it(world: World) -> None:
    turn = told(
        world,
        "Wie viel?",
        answer="Neun \x00 Euro [1] ☕",
        route="PRICE_COMPARE",
        citations=("c1", "c2"),
        prompt_tokens=12,
        completion_tokens=3,
        state=TurnState.LEFT,
    )
    await world.say("first")
    written = await world.store.write([turn])
    assert written[turn.turn_id].number == 2
    recalled = await world.recall()
    assert [(one.number, one.question) for one in recalled.turns] == [(1, "first"), (2, "Wie viel?")]
    assert recalled.turns[1].answer == "Neun \ufffd Euro [1] ☕"
    assert recalled.turns[1].state is TurnState.LEFT
    kept = (await world.store.turns(world.key(), after=1, limit=9, born=world.born))[0]
    assert (kept.number, kept.route, kept.citations) == (2, "PRICE_COMPARE", ("c1", "c2"))
    assert (kept.prompt_tokens, kept.completion_tokens, kept.request_id) == (12, 3, "r1")
    assert abs((datetime.now(UTC) - kept.at).total_seconds()) < 60


async def test_a_session_nobody_has_is_empty(world: World) -> None:
    assert await world.recall() == Recalled()
    assert await world.store.session(world.key(), born=world.born) is None
    assert await world.store.turns(world.key(), after=0, limit=9, born=world.born) == []
    assert await world.store.users_of(world.tenant, "s", born=world.born) == []


async def test_the_same_session_id_of_another_user_or_tenant_is_another_session(world: World) -> None:
    other = await another(world)
    await world.say("mine")
    await world.say("hers", user="v")
    await other.say("theirs")
    assert await world.questions() == ["mine"]
    assert await world.questions(user="v") == ["hers"]
    assert await other.questions() == ["theirs"]
    assert await world.store.users_of(world.tenant, "s", born=world.born) == ["u", "v"]
    await world.store.erase(world.tenant, "u", "s", by=ALICE, born=world.born)
    assert await world.questions() == []
    assert await world.questions(user="v") == ["hers"]
    assert await other.questions() == ["theirs"]


async def test_the_last_turns_are_recalled_as_many_as_are_asked_for_and_fit(world: World) -> None:
    await world.say("one", "two", "three", "four")
    assert await world.questions(turns=2) == ["three", "four"]
    assert await world.questions(max_bytes=2 * len("fourthree")) == ["three", "four"]
    assert await world.questions(max_bytes=2 * len("fourthree") - 1) == ["four"]
    assert await world.questions(max_bytes=1) == []


async def test_a_batch_that_is_written_twice_is_there_once(world: World) -> None:
    batch = [told(world, "one"), told(world, "two"), told(world, "x", session="other")]
    first = await world.store.write(batch)
    again = await world.store.write(batch)
    assert await world.questions() == ["one", "two"]
    assert {name: one.number for name, one in first.items()} == {name: one.number for name, one in again.items()}
    assert {one.before for one in again.values()} == {-1}


async def test_each_write_says_which_revision_it_was_written_over(world: World) -> None:
    one, two = told(world, "one"), told(world, "two")
    first = (await world.store.write([one]))[one.turn_id]
    second = (await world.store.write([two]))[two.turn_id]
    assert first.before == 0
    assert (second.before, second.revision) == (first.revision, (await world.recall()).revision)
    assert second.revision > first.revision


async def test_turns_of_one_session_written_at_once_are_all_there_each_with_its_number(
    world: World,
) -> None:
    batches = [[told(world, f"{writer}.{turn}") for turn in range(3)] for writer in range(6)]
    await asyncio.gather(*(world.store.write(batch) for batch in batches))
    found = (await world.recall()).turns
    assert [turn.number for turn in found] == list(range(1, 19))
    for writer in range(6):
        mine = [turn.question for turn in found if turn.question.startswith(f"{writer}.")]
        assert mine == [f"{writer}.{turn}" for turn in range(3)]


async def test_what_was_asked_too_long_ago_is_not_recalled(world: World) -> None:
    await world.say("old", ago_s=2 * HOUR)
    await world.say("new")
    since = datetime.now(UTC) - timedelta(hours=1)
    assert await world.questions(since=since) == ["new"]
    assert await world.questions() == ["old", "new"]


async def test_a_summary_stands_for_the_turns_that_are_in_it_until_it_is_too_old(world: World) -> None:
    since = datetime.now(UTC) - timedelta(hours=2)
    await world.say("one", "two", ago_s=HOUR)
    await world.say("three", summary=Summary("They spoke of two things.", 2, since))
    recalled = await world.recall(since=since)
    assert recalled.summary == Summary("They spoke of two things.", 2, since)
    assert [turn.question for turn in recalled.turns] == ["three"]
    later = await world.recall(since=since + timedelta(seconds=1))
    assert later.summary == Summary()
    assert [turn.question for turn in later.turns] == ["one", "two", "three"]


async def test_of_two_summaries_the_one_that_goes_further_stays(world: World) -> None:
    now = datetime.now(UTC)
    await world.say("one", "two", "three")
    await world.say("four", summary=Summary("long", 3, now))
    await world.say("five", summary=Summary("short", 2, now))
    recalled = await world.recall()
    assert (recalled.summary.text, recalled.summary.up_to) == ("long", 3)


async def test_an_erased_session_stays_erased_for_whoever_was_asking_meanwhile(world: World) -> None:
    await world.say("one")
    under_way = told(world, "asked before", session="s")
    elsewhere = told(world, "of another session", session="t")
    assert await world.store.erase(world.tenant, "u", "s", by=ALICE, born=world.born) == 1
    written = await world.store.write([under_way, elsewhere])
    assert set(written) == {elsewhere.turn_id}
    assert await world.questions() == []
    await world.say("asked afterwards")
    assert await world.questions() == ["asked afterwards"]


async def test_a_user_who_is_forgotten_has_no_session_left_and_gets_none_back(world: World) -> None:
    await world.say("one")
    await world.say("two", session="t")
    await world.say("hers", user="v")
    under_way = told(world, "a new session", session="new")
    assert await world.store.erase(world.tenant, "u", None, by=ALICE, born=world.born) == 2
    assert await world.store.write([under_way]) == {}
    listed = await world.store.sessions(world.tenant, None, behind=None, limit=9, born=world.born)
    assert [session.user_id for session in listed] == ["v"]


async def test_what_was_asked_before_an_erasure_stays_erased_however_long_its_writing_waits_for_it(
    database_url: str,
) -> None:
    async with opened(database_url) as database:
        stores = postgres_stores(database)
        world = await another(World(PostgresConversations(database), stores, TenantId("x"), LONG_AGO))
        await world.say("one")
        under_way = told(world, "asked before")
        async with database.tenant(world.tenant, born=world.born) as erasing:
            values = {"tenant": str(world.tenant), "user": "u", "session": ""}
            await erasing.execute(HOLD_USER, values)
            await erasing.execute(NOTE_ERASURE, values)
            writing = asyncio.create_task(world.store.write([under_way]))
            assert not (await asyncio.wait({writing}, timeout=0.3))[0]
        assert await writing == {}
        await world.say("asked afterwards")
        assert await world.questions() == ["one", "asked afterwards"]


async def test_an_erasure_is_in_the_audit_log_unless_there_was_nothing(world: World) -> None:
    before = len(await world.stores.audit.page(world.tenant, after=0, limit=99))
    assert await world.store.erase(world.tenant, "u", "s", by=ALICE, born=world.born) == 0
    assert len(await world.stores.audit.page(world.tenant, after=0, limit=99)) == before
    await world.say("a secret question")
    await world.store.erase(world.tenant, "u", "s", by=ALICE, born=world.born)
    event = (await world.stores.audit.page(world.tenant, after=0, limit=99))[-1]
    assert (event.action, event.resource, event.actor) == ("session.delete", "session/s", "alice")
    assert "secret" not in event.details


async def test_sessions_are_listed_newest_first_page_by_page(world: World) -> None:
    for number in range(5):
        await world.say("q", session=f"s{number}", ago_s=100.0 * number)
    await world.say("q", "again", user="v", ago_s=50.0)
    found, behind = [], None
    while page := await world.store.sessions(world.tenant, None, behind=behind, limit=2, born=world.born):
        found += [(session.user_id, session.session_id, session.turns) for session in page]
        behind = Place(page[-1].last_at, page[-1].user_id, page[-1].session_id)
    assert found == [("u", "s0", 1), ("v", "s", 2), *(("u", f"s{number}", 1) for number in range(1, 5))]
    hers = await world.store.sessions(world.tenant, "v", behind=None, limit=9, born=world.born)
    assert [session.session_id for session in hers] == ["s"]


async def test_every_turn_is_a_row_of_the_export_once(world: World) -> None:
    await world.say("one", "two", "three")
    await world.say("hers", user="v")
    found, after = [], ("", "", 0)
    while page := await world.store.rows(world.tenant, after=after, limit=2, born=world.born):
        found += [(session.user_id, turn.question) for session, turn in page]
        after = (page[-1][0].user_id, page[-1][0].session_id, page[-1][1].number)
    assert found == [("u", "one"), ("u", "two"), ("u", "three"), ("v", "hers")]


async def test_old_turns_expire_in_bounded_steps_with_their_summaries_and_empty_sessions(world: World) -> None:
    now = datetime.now(UTC)
    await world.say("one", "two", "three", ago_s=2 * HOUR)
    await world.say("four", summary=Summary("Of one.", 1, now - timedelta(hours=2)))
    await world.say("gone", session="t", ago_s=2 * HOUR)
    before = now - timedelta(hours=1)
    steps = []
    while removed := await world.store.expire(world.tenant, before, 3, born=world.born):
        steps.append(removed)
    assert steps == [3, 1]
    assert (await world.recall()).summary == Summary()
    assert await world.questions() == ["four"]
    assert await world.store.session(world.key(session="t"), born=world.born) is None
    await world.say("five")
    assert [turn.number for turn in (await world.recall()).turns] == [4, 5]


async def test_who_has_turns_is_told_with_the_oldest_of_them(world: World) -> None:
    await world.say("one", ago_s=HOUR)
    await world.say("two")
    empty = await another(world)
    found = {one.tenant_id: one for one in await world.store.oldest("", 10_000)}
    assert abs((datetime.now(UTC) - found[world.tenant].at).total_seconds() - HOUR) < 60
    assert empty.tenant not in found
    assert world.tenant not in {one.tenant_id for one in await world.store.oldest(str(world.tenant), 10_000)}
    await world.store.end_erasures()


async def test_a_turn_of_a_tenant_that_is_gone_is_left_out(world: World) -> None:
    turn = told(world, "late")
    if isinstance(world.store, MemoryConversations):
        world.store.tenants = ()
    else:
        turn = told(world, "late", born=LONG_AGO)
        with pytest.raises(NotFoundError):
            await world.store.recall(world.key(), since=LONG_AGO, turns=1, max_bytes=1, born=LONG_AGO)
    kept = told(await another(world), "now")
    written = await world.store.write([turn, kept])
    assert turn.turn_id not in written
    assert await world.questions() == []


async def test_a_turn_that_cannot_be_kept_is_told_apart_from_a_store_that_is_away(world: World) -> None:
    with pytest.raises(ValueError, match="kept"):
        await world.store.write([told(world, "good"), told(world, "bad", state="strange")])
    assert await world.questions() == []
