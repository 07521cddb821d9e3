"""The live cache: fresh within its bound, one read at a time, and nobody fails for another's leaving."""

from __future__ import annotations

import asyncio

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from tenancy.config import TenantConfig, Tier
from tenancy.keys import new_key
from tenancy.live import MAX_AGE_S, FreshCache, LiveConfigs
from tenancy.memory_keys import MemoryKeyStore
from tenancy.memory_tenants import MemoryTenantStore
from tenancy.ports import ConfigVersion

T1 = TenantId("t1")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Counts its reads and lets the test hold them."""

    def __init__(self) -> None:
        self.reads = 0
        self.value = "old"
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def read(self, _key: str, _remembered: str | None) -> str:
        self.reads += 1
        value = self.value
        await self.gate.wait()
        if self.fails:
            raise DependencyDownError("down")
        return value


async def test_a_value_is_read_again_when_it_is_older_than_the_bound() -> None:
    source, clock = Source(), Clock()
    cache = FreshCache(source.read, clock=clock)
    assert await cache.get("k") == "old"
    source.value = "new"
    clock.now += MAX_AGE_S
    assert await cache.get("k") == "old"
    clock.now += 0.001
    assert await cache.get("k") == "new"


async def test_age_counts_from_the_beginning_of_the_read() -> None:
    source, clock = Source(), Clock()
    cache = FreshCache(source.read, clock=clock)
    source.gate.clear()
    slow = asyncio.create_task(cache.get("k"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.now += MAX_AGE_S + 0.001
    source.value = "new"
    source.gate.set()
    assert await slow == "old"
    assert await cache.get("k") == "new"


async def test_many_waiters_cost_one_read_and_one_that_leaves_fails_no_other() -> None:
    source = Source()
    cache = FreshCache(source.read)
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
    cache = FreshCache(source.read)
    source.fails = True
    with pytest.raises(DependencyDownError):
        await cache.get("k")
    source.fails = False
    assert await cache.get("k") == "old"


async def test_a_read_that_was_under_way_when_the_value_was_forgotten_is_not_remembered() -> None:
    source = Source()
    cache = FreshCache(source.read)
    source.gate.clear()
    early = asyncio.create_task(cache.get("k"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.value = "new"
    cache.forget("k")
    source.gate.set()
    assert await early == "old"
    assert await cache.get("k") == "new"


async def test_the_cache_is_bounded() -> None:
    source = Source()
    cache = FreshCache(source.read, max_entries=2)
    for key in ("a", "b", "c", "b", "c"):
        await cache.get(key)
    assert source.reads == 3
    await cache.get("a")
    assert source.reads == 4


async def test_a_policy_is_compiled_once_per_version() -> None:
    store, clock, compiled = MemoryTenantStore(MemoryKeyStore()), Clock(), []
    await store.create(T1, Tier.BASIC, TenantConfig(), new_key())

    def compile_policy(_tenant: TenantId, found: ConfigVersion) -> int:
        compiled.append(found.version)
        return found.version

    live = LiveConfigs(store, compile_policy, clock=clock)
    for _ in range(3):
        clock.now += 1
        assert await live.get(T1) == 1
    await store.write_config(T1, TenantConfig(), author="a", expected_version=1)
    clock.now += 1
    assert await live.get(T1) == 2
    assert compiled == [1, 2]
    assert await live.get(TenantId("t2")) is None
