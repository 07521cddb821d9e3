"""Tenants take turns: none has more than its share of the threads, and what is given up does not begin."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from contracts.errors import OverloadedError
from contracts.tenant import TenantId
from servicekit.cpu_pool import CpuPool
from servicekit.tenant_slots import TenantSlots

T1, T2 = TenantId("t1"), TenantId("t2")


@pytest.fixture
def pool() -> Iterator[CpuPool]:
    made = CpuPool("test", 2)
    yield made
    made.close()


async def test_a_tenant_with_much_to_do_leaves_a_thread_to_the_others(pool: CpuPool) -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    def slow() -> None:
        begun.release()
        release.wait(30)

    many = [asyncio.create_task(pool.run(T1, slow)) for _ in range(5)]
    try:
        await asyncio.to_thread(begun.acquire)
        async with asyncio.timeout(20):
            assert await pool.run(T2, lambda: "done") == "done"
        assert not begun.acquire(blocking=False)
    finally:
        release.set()
        await asyncio.gather(*many)


async def test_what_is_given_up_before_its_turn_is_never_done(pool: CpuPool) -> None:
    release, done = threading.Event(), []
    first = asyncio.create_task(pool.run(T1, lambda: release.wait(30)))
    second = asyncio.create_task(pool.run(T1, lambda: done.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    release.set()
    assert await first
    await asyncio.gather(second, return_exceptions=True)
    await pool.run(T1, lambda: done.append("third"))
    assert done == ["third"]


async def test_an_error_is_the_callers(pool: CpuPool) -> None:
    def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await pool.run(T1, fails)


async def test_who_would_wait_behind_too_many_is_told_and_other_tenants_are_not() -> None:
    slots = TenantSlots(1, waiting=1)

    async def hold(tenant: TenantId) -> None:
        async with slots.held(tenant):
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(hold(T1)) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        async with slots.held(T1):
            pass
    async with slots.held(T2):
        pass
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with slots.held(T1):
        pass
    assert not slots._tenants


async def test_a_wait_has_an_end() -> None:
    slots = TenantSlots(1, waiting=1)
    async with slots.held(T1):
        with pytest.raises(TimeoutError):
            async with slots.held(T1, within_s=0.01):
                pass
