"""Copies of the ends of sessions: in Valkey and in memory alike."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from router.adapters.memory_sessions import MemorySessions
from router.adapters.valkey_sessions import ValkeySessions
from router.ports import SessionCache
from stores.valkey import Valkey
from support.server import free_port
from tenancy.conversations import EarlierTurn, Recalled, SessionKey, Summary, TurnState

BORN, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def recalled(revision: int) -> Recalled:
    turn = EarlierTurn(revision, "Grüße?\n", 'a "b" 1 2', TurnState.LEFT, BORN)
    return Recalled(revision, Summary("So far.", 1, BORN), (turn,))


@pytest.fixture(params=["memory", "valkey"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[SessionCache]:
    if request.param == "memory":
        yield MemorySessions()
        return
    valkey = Valkey(request.getfixturevalue("valkey_url"))
    yield ValkeySessions(valkey)
    await valkey.close()


@pytest.fixture
def key() -> SessionKey:
    """Of this test alone: the store is shared."""
    return SessionKey(TenantId(f"cache-{secrets.token_hex(4)}"), "u", "s")


async def test_what_was_put_is_given_as_it_was(cache: SessionCache, key: SessionKey) -> None:
    assert await cache.get(key, BORN) is None
    await cache.put(key, BORN, recalled(3))
    assert await cache.get(key, BORN) == recalled(3)


async def test_the_newer_of_two_copies_stays_in_whatever_order_they_come(cache: SessionCache, key: SessionKey) -> None:
    for revision in (3, 5, 4, 5):
        await cache.put(key, BORN, recalled(revision))
    assert await cache.get(key, BORN) == recalled(5)


async def test_what_is_out_of_date_is_not_given_until_a_newer_copy_comes(cache: SessionCache, key: SessionKey) -> None:
    await cache.put(key, BORN, recalled(3))
    await cache.outdate(key, BORN, 5)
    assert await cache.get(key, BORN) is None
    await cache.put(key, BORN, recalled(4))
    assert await cache.get(key, BORN) is None
    await cache.put(key, BORN, recalled(5))
    await cache.outdate(key, BORN, 5)
    assert await cache.get(key, BORN) == recalled(5)


async def test_another_users_another_tenants_and_a_later_tenants_session_is_another(
    cache: SessionCache, key: SessionKey
) -> None:
    await cache.put(key, BORN, recalled(3))
    others = [key._replace(user_id="v"), key._replace(session_id="t"), key._replace(tenant_id=TenantId("other"))]
    assert [await cache.get(other, BORN) for other in others] == [None] * 3
    assert await cache.get(key, LATER) is None


@pytest.mark.parametrize("whole_user", [True, False])
async def test_what_was_erased_is_neither_given_nor_taken_back(
    cache: SessionCache, key: SessionKey, whole_user: bool
) -> None:
    await cache.put(key, BORN, recalled(3))
    await cache.erase(key.tenant_id, "u", None if whole_user else "s", BORN)
    assert await cache.get(key, BORN) is None
    await cache.put(key, BORN, recalled(9))
    assert await cache.get(key, BORN) is None
    sibling = key._replace(session_id="t")
    await cache.put(sibling, BORN, recalled(1))
    assert (await cache.get(sibling, BORN) is None) == whole_user


async def test_a_cache_that_is_away_says_so(key: SessionKey) -> None:
    valkey = Valkey(f"redis://127.0.0.1:{free_port()}")
    cache = ValkeySessions(valkey)
    with pytest.raises(DependencyDownError):
        await cache.get(key, BORN)
    with pytest.raises(DependencyDownError):
        await cache.erase(key.tenant_id, "u", None, BORN)
    await valkey.close()
