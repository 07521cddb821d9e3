"""Recent requests: the list in Valkey and its twin in memory keep the same, and no longer than they are told."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from router.adapters import valkey_recent
from router.adapters.memory_recent import MemoryRecentRequests
from router.adapters.valkey_recent import ValkeyRecentRequests
from router.domain.recent_request import MAX_KEPT, MAX_QUERY_BYTES, RecentRequest
from router.ports import RecentRequests
from stores.valkey import Valkey

NOW = datetime(2026, 5, 4, 12, 0, 0, 123_457, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVER = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
async def valkey(valkey_url: str) -> AsyncIterator[Valkey]:
    valkey = Valkey(valkey_url)
    yield valkey
    await valkey.close()


@pytest.fixture(params=["memory", "valkey"])
async def recent(request: pytest.FixtureRequest) -> AsyncIterator[RecentRequests]:
    if request.param == "memory":
        yield MemoryRecentRequests()
        return
    valkey = Valkey(request.getfixturevalue("valkey_url"))
    yield ValkeyRecentRequests(valkey)
    await valkey.close()


@pytest.fixture
def tenant() -> TenantId:
    return TenantId(f"c-{secrets.token_hex(6)}")


def asked(query: str = "hello", **fields: Any) -> RecentRequest:
    return RecentRequest(**({"request_id": "r1", "at": NOW, "query": query, "locale": "en-US"} | fields))


async def test_what_was_noted_last_comes_first_and_as_it_was(recent: RecentRequests, tenant: TenantId) -> None:
    noted = [
        asked("Grüße 👋\nin two lines", request_id='r"1', at=NOW - HOUR / 2),
        asked("{}", locale=None, at=NOW - HOUR / 3),
        asked("third"),
    ]
    for request in noted:
        await recent.note(tenant, request, keep_for=HOUR)
    assert await recent.last(tenant, 10, not_older_than=EVER) == noted[::-1]
    assert await recent.last(tenant, 2, not_older_than=EVER) == noted[:0:-1]


async def test_of_a_tenant_that_asked_nothing_there_is_nothing(recent: RecentRequests, tenant: TenantId) -> None:
    assert await recent.last(tenant, 10, not_older_than=EVER) == []
    await recent.forget(tenant)


async def test_only_the_last_two_hundred_are_kept(recent: RecentRequests, tenant: TenantId) -> None:
    for number in range(MAX_KEPT + 5):
        await recent.note(tenant, asked(str(number)), keep_for=HOUR)
    kept = await recent.last(tenant, 1_000, not_older_than=EVER)
    assert [request.query for request in kept] == [str(number) for number in range(MAX_KEPT + 4, 4, -1)]


async def test_what_is_too_old_for_the_asker_is_not_told(recent: RecentRequests, tenant: TenantId) -> None:
    await recent.note(tenant, asked("old", at=NOW - HOUR), keep_for=24 * HOUR)
    await recent.note(tenant, asked("new"), keep_for=24 * HOUR)
    assert [one.query for one in await recent.last(tenant, 9, not_older_than=NOW - HOUR / 2)] == ["new"]
    assert len(await recent.last(tenant, 9, not_older_than=NOW - HOUR)) == 2


async def test_a_busy_tenants_old_requests_do_not_outlive_their_time(recent: RecentRequests, tenant: TenantId) -> None:
    """The list as a whole is renewed by each note: what is in it must age all the same."""
    await recent.note(tenant, asked("two hours", at=NOW - 2 * HOUR), keep_for=24 * HOUR)
    await recent.note(tenant, asked("one hour", at=NOW - HOUR), keep_for=24 * HOUR)
    await recent.note(tenant, asked("now"), keep_for=HOUR)
    assert [one.query for one in await recent.last(tenant, 9, not_older_than=EVER)] == ["now", "one hour"]


async def test_what_is_not_added_to_is_gone_after_its_time(recent: RecentRequests, tenant: TenantId) -> None:
    """That it is there until then, the other tests show: none of them could be fast enough to see it here."""
    await recent.note(tenant, asked(), keep_for=timedelta(milliseconds=50))
    async with asyncio.timeout(5):
        while await recent.last(tenant, 9, not_older_than=EVER):  # noqa: ASYNC110  Valkey's clock tells nobody
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("a" * MAX_QUERY_BYTES, None),
        ("a" * (MAX_QUERY_BYTES + 1), "a" * MAX_QUERY_BYTES),
        ("€" * 32_768, "€" * (MAX_QUERY_BYTES // 3)),
    ],
)
async def test_a_long_query_is_cut_to_whole_characters_and_marked(
    recent: RecentRequests, tenant: TenantId, query: str, kept: str | None
) -> None:
    await recent.note(tenant, asked(query), keep_for=HOUR)
    (found,) = await recent.last(tenant, 1, not_older_than=EVER)
    assert (found.query, found.cut) == (kept or query, kept is not None)


async def test_tenants_do_not_share_and_forgetting_is_for_one_alone(recent: RecentRequests, tenant: TenantId) -> None:
    other = TenantId(f"{tenant}-x")
    for whose in (tenant, other):
        await recent.note(whose, asked(str(whose)), keep_for=HOUR)
    assert [one.query for one in await recent.last(tenant, 9, not_older_than=EVER)] == [str(tenant)]
    await recent.forget(tenant)
    assert await recent.last(tenant, 9, not_older_than=EVER) == []
    assert [one.query for one in await recent.last(other, 9, not_older_than=EVER)] == [str(other)]


@pytest.mark.parametrize("entry", ["nonsense", "12 {}\nhello", '12 ["id"]\nhello', "x {}", ""])
async def test_an_entry_of_another_version_is_passed_over(valkey: Valkey, tenant: TenantId, entry: str) -> None:
    recent = ValkeyRecentRequests(valkey)
    script = valkey.script(valkey_recent._SCRIPT)
    await script(tenant, [("recent",)], ["note", entry, 200, 0, 60_000])
    await recent.note(tenant, asked("readable"), keep_for=100_000 * HOUR)
    assert [one.query for one in await recent.last(tenant, 9, not_older_than=EVER)] == ["readable"]


async def test_without_valkey_the_answer_is_a_stated_error_and_soon(tenant: TenantId) -> None:
    valkey = Valkey("unix:///nonexistent/valkey.sock")
    recent = ValkeyRecentRequests(valkey)
    async with asyncio.timeout(6):
        with pytest.raises(DependencyDownError):
            await recent.note(tenant, asked(), keep_for=HOUR)
        with pytest.raises(DependencyDownError):
            await recent.last(tenant, 1, not_older_than=EVER)
        with pytest.raises(DependencyDownError):
            await recent.forget(tenant)
    await valkey.close()
