"""Records of requests with an Idempotency-Key: in Valkey and in memory alike."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from contracts.errors import DependencyDownError, IdempotencyMismatchError, RequestInProgressError
from contracts.tenant import TenantId
from router.adapters.memory_first_answers import MemoryFirstAnswers
from router.adapters.valkey_first_answers import ValkeyFirstAnswers
from router.ports import FirstAnswerStore
from stores.valkey import Valkey
from support.server import free_port

LONG, SHORT = timedelta(minutes=1), timedelta(milliseconds=60)
ANSWER = '{"text": "Grüße \\n"}'.encode()
T = TenantId("first-answers")


@pytest.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[FirstAnswerStore]:
    if request.param == "memory":
        yield MemoryFirstAnswers()
        return
    valkey = Valkey(request.getfixturevalue("valkey_url"))
    yield ValkeyFirstAnswers(valkey)
    await valkey.close()


@pytest.fixture
def name() -> str:
    """Of this test alone: the store is shared."""
    return secrets.token_hex(8)


async def test_the_first_owns_the_record_and_others_are_told_that_it_runs(store: FirstAnswerStore, name: str) -> None:
    assert await store.begin(T, name, "a", "print", LONG) is None
    for owner in ("b", "a"):
        with pytest.raises(RequestInProgressError):
            await store.begin(T, name, owner, "print", LONG)
    assert await store.begin(TenantId("another"), name, "b", "print", SHORT) is None


async def test_an_answer_that_was_kept_is_given_to_all_who_ask_the_same(store: FirstAnswerStore, name: str) -> None:
    await store.begin(T, name, "a", "print", LONG)
    assert await store.keep(T, name, "a", ANSWER, LONG)
    for owner in ("b", "a"):
        assert await store.begin(T, name, owner, "print", LONG) == ANSWER


async def test_another_request_under_the_same_key_is_refused_before_and_after(
    store: FirstAnswerStore, name: str
) -> None:
    await store.begin(T, name, "a", "print", LONG)
    with pytest.raises(IdempotencyMismatchError):
        await store.begin(T, name, "b", "another", LONG)
    await store.keep(T, name, "a", ANSWER, LONG)
    with pytest.raises(IdempotencyMismatchError):
        await store.begin(T, name, "b", "another", LONG)


async def test_what_was_dropped_may_be_tried_again(store: FirstAnswerStore, name: str) -> None:
    await store.begin(T, name, "a", "print", LONG)
    await store.drop(T, name, "a")
    assert await store.begin(T, name, "b", "another", LONG) is None


async def test_a_lease_ends_unless_it_is_renewed(store: FirstAnswerStore, name: str) -> None:
    await store.begin(T, name, "a", "print", SHORT)
    assert await store.renew(T, name, "a", LONG)
    await asyncio.sleep(2 * SHORT.total_seconds())
    with pytest.raises(RequestInProgressError):
        await store.begin(T, name, "b", "print", LONG)
    await store.renew(T, name, "a", SHORT)
    await asyncio.sleep(2 * SHORT.total_seconds())
    assert await store.begin(T, name, "b", "print", LONG) is None


async def test_who_has_lost_the_record_changes_nothing(store: FirstAnswerStore, name: str) -> None:
    await store.begin(T, name, "a", "print", SHORT)
    await asyncio.sleep(2 * SHORT.total_seconds())
    await store.begin(T, name, "b", "print", LONG)
    assert not await store.renew(T, name, "a", SHORT)
    assert not await store.keep(T, name, "a", ANSWER, LONG)
    await store.drop(T, name, "a")
    with pytest.raises(RequestInProgressError):
        await store.begin(T, name, "c", "print", LONG)


async def test_what_was_kept_is_neither_dropped_nor_written_over_and_ends_in_its_time(
    store: FirstAnswerStore, name: str
) -> None:
    await store.begin(T, name, "a", "print", LONG)
    await store.keep(T, name, "a", ANSWER, 4 * SHORT)
    assert not await store.keep(T, name, "a", b"{}", LONG)
    await store.drop(T, name, "a")
    assert await store.begin(T, name, "b", "print", LONG) == ANSWER
    await asyncio.sleep(5 * SHORT.total_seconds())
    assert await store.begin(T, name, "b", "print", LONG) is None


async def test_an_outage_is_told() -> None:
    valkey = Valkey(f"redis://127.0.0.1:{free_port()}")
    down = MemoryFirstAnswers()
    down.down = True
    for store in (ValkeyFirstAnswers(valkey), down):
        with pytest.raises(DependencyDownError):
            await store.begin(T, "name", "a", "print", LONG)
    await valkey.close()
