"""The live cache: believed while the feed is heard, else for half a second; one read at a time; nobody fails for
another's leaving."""

from __future__ import annotations

import asyncio

import pytest

from contracts.context import Role
from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from support.clock import Clock
from support.tenants import ALICE
from support.turns_of_the_loop import until
from tenancy.config import TenantConfig
from tenancy.keys import new_key
from tenancy.live import MAX_AGE_S, MAX_MISSES, FreshCache, Hearing, LiveKeys, LiveTenants, Subject
from tenancy.memory_keys import MemoryKeyStore
from tenancy.memory_tenants import MemoryTenantStore
from tenancy.ports import TenantRecord, TenantState

T1, T2 = TenantId("t1"), TenantId("t2")
LONG = 3_600.0


class Source:
    """Counts its reads and lets the test hold them."""

    def __init__(self) -> None:
        self.reads = 0
        self.value: str | None = "old"
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def read(self, _key: str, _remembered: str | None) -> str | None:
        self.reads += 1
        value = self.value
        await self.gate.wait()
        if self.fails:
            raise DependencyDownError("down")
        return value


class Feed:
    """Heard, or not, as the test says."""

    def __init__(self, clock: Clock) -> None:
        self.since: float | None = clock()
        self.changed: dict[Subject, float] = {}
        self._clock = clock

    def tell(self, subject: Subject) -> None:
        self.changed[subject] = self._clock()

    def heard_since(self) -> float | None:
        return self.since

    def changed_at(self, subject: Subject) -> float:
        return self.changed.get(subject, float("-inf"))


def a_cache(
    source: Source, clock: Clock | None = None, feed: Hearing | None = None, max_entries: int = 9
) -> FreshCache[str, str]:
    return FreshCache(source.read, lambda _value: T1, feed=feed, max_entries=max_entries, clock=clock or Clock())


async def read_has_begun(source: Source, reads: int) -> None:
    await until(lambda: source.reads >= reads)


async def test_without_a_feed_a_value_is_read_again_when_it_is_older_than_the_bound() -> None:
    source, clock = Source(), Clock()
    cache = a_cache(source, clock)
    assert await cache.get("k") == "old"
    source.value = "new"
    clock.now += MAX_AGE_S
    assert await cache.get("k") == "old"
    clock.now += 0.001
    assert await cache.get("k") == "new"


async def test_while_the_feed_is_heard_nothing_is_read_again() -> None:
    source, clock = Source(), Clock()
    cache = a_cache(source, clock, Feed(clock))
    clock.now += 0.001
    for _ in range(5):
        assert await cache.get("k") == "old"
        clock.now += LONG
    assert source.reads == 1


async def test_what_the_feed_says_has_changed_is_read_again_at_once() -> None:
    source, clock = Source(), Clock()
    feed = Feed(clock)
    cache = a_cache(source, clock, feed)
    assert await cache.get("k") == "old"
    source.value = "new"
    feed.tell(T1)  # at the very moment of the read: which of the two was first cannot be told
    assert await cache.get("k") == "new"
    clock.now += 0.001
    assert await cache.get("k") == "new"
    feed.tell(T2)
    feed.tell(None)
    await cache.get("k")
    assert source.reads == 3
    clock.now += LONG
    await cache.get("k")
    assert source.reads == 3


async def test_what_changes_while_it_is_read_is_read_once_more() -> None:
    source, clock = Source(), Clock()
    feed = Feed(clock)
    cache = a_cache(source, clock, feed)
    source.gate.clear()
    early = asyncio.create_task(cache.get("k"))
    await read_has_begun(source, 1)
    source.value = "new"
    clock.now += 0.1
    feed.tell(T1)
    clock.now += 0.1
    source.gate.set()
    assert await early == "old"
    assert await cache.get("k") == "new"


async def test_while_the_feed_is_deaf_a_value_is_believed_by_its_age_alone() -> None:
    source, clock = Source(), Clock()
    feed = Feed(clock)
    cache = a_cache(source, clock, feed)
    assert await cache.get("k") == "old"
    source.value, feed.since = "new", None
    clock.now += MAX_AGE_S
    assert await cache.get("k") == "old"
    clock.now += 0.001
    assert await cache.get("k") == "new"


async def test_what_is_told_is_believed_even_while_something_may_be_missed() -> None:
    source, clock = Source(), Clock()
    feed = Feed(clock)
    feed.since = None
    cache = a_cache(source, clock, feed)
    assert await cache.get("k") == "old"
    source.value = "new"
    clock.now += 0.1
    feed.tell(T1)
    assert await cache.get("k") == "new"


async def test_what_was_read_before_the_feed_began_is_believed_by_its_age_alone() -> None:
    source, clock = Source(), Clock()
    feed = Feed(clock)
    feed.since = None
    cache = a_cache(source, clock, feed)
    assert await cache.get("k") == "old"
    source.value = "new"
    clock.now += 0.1
    feed.since = clock()
    assert await cache.get("k") == "old"
    clock.now += MAX_AGE_S
    assert await cache.get("k") == "new"


async def test_age_counts_from_the_beginning_of_the_read() -> None:
    source, clock = Source(), Clock()
    cache = a_cache(source, clock)
    source.gate.clear()
    slow = asyncio.create_task(cache.get("k"))
    await read_has_begun(source, 1)
    clock.now += MAX_AGE_S + 0.001
    source.value = "new"
    source.gate.set()
    assert await slow == "old"
    assert await cache.get("k") == "new"


async def test_nobody_joins_a_read_that_has_taken_too_long() -> None:
    source, clock = Source(), Clock()
    cache = a_cache(source, clock)
    source.gate.clear()
    slow = asyncio.create_task(cache.get("k"))
    await read_has_begun(source, 1)
    source.value = "new"
    clock.now += MAX_AGE_S
    joins = asyncio.create_task(cache.get("k"))
    await asyncio.sleep(0)
    clock.now += 0.001
    reads = asyncio.create_task(cache.get("k"))
    await read_has_begun(source, 2)
    source.gate.set()
    assert await asyncio.gather(slow, joins, reads) == ["old", "old", "new"]
    assert source.reads == 2
    assert await cache.get("k") == "new"  # the slow read, which ended last, is not what is remembered


async def test_many_waiters_cost_one_read_and_one_that_leaves_fails_no_other() -> None:
    source = Source()
    cache = a_cache(source)
    source.gate.clear()
    waiters = [asyncio.create_task(cache.get("k")) for _ in range(50)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    source.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiters[0]
    assert await asyncio.gather(*waiters[1:]) == ["old"] * 49
    assert source.reads == 1


async def test_a_failed_read_is_not_remembered() -> None:
    source = Source()
    cache = a_cache(source)
    source.fails = True
    with pytest.raises(DependencyDownError):
        await cache.get("k")
    source.fails = False
    assert await cache.get("k") == "old"


async def test_a_read_that_was_under_way_when_the_value_was_forgotten_is_not_remembered() -> None:
    source = Source()
    cache = a_cache(source)
    source.gate.clear()
    early = asyncio.create_task(cache.get("k"))
    await read_has_begun(source, 1)
    source.value = "new"
    cache.forget("k")
    source.gate.set()
    assert await early == "old"
    assert await cache.get("k") == "new"


async def test_the_cache_is_bounded() -> None:
    source = Source()
    cache = a_cache(source, max_entries=2)
    for key in ("a", "b", "c", "b", "c"):
        await cache.get(key)
    assert source.reads == 3
    await cache.get("a")
    assert source.reads == 4


async def test_what_does_not_exist_pushes_out_nothing_that_does() -> None:
    source, clock = Source(), Clock()
    cache = a_cache(source, clock, Feed(clock), max_entries=2)
    clock.now += 0.001
    await cache.get("there")
    source.value = None
    for number in range(MAX_MISSES + 10):
        assert await cache.get(f"absent-{number}") is None
    reads = source.reads
    assert await cache.get("there") == "old"
    assert await cache.get(f"absent-{MAX_MISSES + 9}") is None
    assert source.reads == reads
    assert await cache.get("absent-0") is None  # the oldest absences are forgotten
    assert source.reads == reads + 1


async def test_an_absence_is_believed_for_half_a_second_whatever_the_feed_says() -> None:
    source, clock = Source(), Clock()
    cache = a_cache(source, clock, Feed(clock))
    source.value = None
    clock.now += 0.001
    assert await cache.get("k") is None
    source.value = "new"
    clock.now += MAX_AGE_S
    assert await cache.get("k") is None
    assert source.reads == 1
    clock.now += 0.001
    assert await cache.get("k") == "new"


async def test_what_is_gone_is_gone() -> None:
    source, clock = Source(), Clock()
    feed = Feed(clock)
    cache = a_cache(source, clock, feed)
    clock.now += 0.001
    assert await cache.get("k") == "old"
    source.value = None
    clock.now += 0.001
    feed.tell(T1)
    assert await cache.get("k") is None
    clock.now += MAX_AGE_S + 0.001
    assert await cache.get("k") is None
    assert source.reads == 3


async def test_a_policy_is_compiled_once_per_revision() -> None:
    store, clock, compiled = MemoryTenantStore(MemoryKeyStore()), Clock(), []
    await store.create(T1, TenantConfig(), new_key(), by=ALICE)

    async def compile_policy(found: TenantRecord) -> str:
        compiled.append(f"{found.revision.version} {found.revision.state}")
        return compiled[-1]

    live = LiveTenants(store, compile_policy, clock=clock)
    for _ in range(3):
        clock.now += 1
        assert await live.get(T1) == "1 active"
    await store.write_config(T1, TenantConfig(), by=ALICE)
    clock.now += 1
    assert await live.get(T1) == "2 active"
    await store.set_state(T1, TenantState.SUSPENDED, by=ALICE)
    assert await live.get(T1) == "2 active"
    live.forget(T1)
    assert await live.get(T1) == "2 suspended"
    assert compiled == ["1 active", "2 active", "2 suspended"]


async def test_a_new_tenant_and_a_new_key_are_seen_within_half_a_second() -> None:
    clock, keys, key = Clock(), MemoryKeyStore(), new_key()
    store, feed = MemoryTenantStore(keys), Feed(clock)

    async def itself(found: TenantRecord) -> TenantRecord:
        return found

    tenants, holders = LiveTenants(store, itself, feed=feed, clock=clock), LiveKeys(keys, clock=clock)
    assert await tenants.get(T2) is None
    assert await holders.holder(key.text) is None
    await store.create(T2, TenantConfig(), key, by=ALICE)
    clock.now += MAX_AGE_S + 0.001
    assert await tenants.get(T2) is not None
    holder = await holders.holder(key.text)
    assert holder is not None
    assert (holder.tenant_id, holder.role) == (T2, Role.TENANT_ADMIN)


async def test_a_key_is_believed_until_its_own_tenant_changes() -> None:
    clock, keys = Clock(), MemoryKeyStore()
    feed, mine, platforms = Feed(clock), new_key(), new_key()
    keys.put(mine, T1, Role.TENANT_ADMIN)
    keys.put(platforms, None, Role.PLATFORM_ADMIN)
    holders = LiveKeys(keys, feed=feed, clock=clock)
    clock.now += 0.001
    for key in (mine, platforms):
        assert await holders.holder(key.text) is not None
    keys.put(new_key(), None, Role.PLATFORM_ADMIN)
    await keys.revoke(T1, mine.key_id, by=ALICE)
    await keys.revoke(None, platforms.key_id, by=ALICE)
    clock.now += LONG
    for changed, gone in ((T2, []), (T1, [mine]), (None, [mine, platforms])):
        feed.tell(changed)
        assert [key for key in (mine, platforms) if await holders.holder(key.text) is None] == gone
