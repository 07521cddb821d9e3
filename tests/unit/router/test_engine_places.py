"""Places in the engine pools: had, waited for, given back, whatever happens in between."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from contracts.errors import OverloadedError, PoolUnavailableError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from router.domain.fair_queue import NO_CAPACITY_RETRY_S, Bounds
from router.domain.pool_share import Demand
from router.service import engine_places
from router.service.engine_places import EnginePlaces, Place

A, B = TenantId("a"), TenantId("b")


class Seen(NullMetrics):
    def __init__(self) -> None:
        self.waits: list[float] = []
        self.depth = 0.0
        self.shed: list[str] = []

    def observe(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        assert (metric, dimensions["pool"]) == (names.QUEUE_TIME, "pooled")
        assert dimensions["tenant"] in {"a", "b"}
        self.waits.append(value)

    def level(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        assert (metric, dimensions) == (names.QUEUE_DEPTH, {"pool": "pooled"})
        self.depth = value

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        assert metric is names.THROTTLED_COUNT
        self.shed.append(dimensions["reason"])


class World:
    def __init__(self, capacity: int, *, headroom: int | None = 0, bounds: Bounds | None = None) -> None:
        self.metrics = Seen()
        self.places = EnginePlaces(self.metrics, headroom=headroom, bounds=bounds)
        self.places.resize("pooled", capacity)
        self.stack = AsyncExitStack()

    async def join(self, tenant: TenantId = A, *, time_left_s: float = 60.0) -> Place:
        joined = self.places.join("pooled", tenant, 1.0, time_left_s=time_left_s, expected_tokens=10)
        return await self.stack.enter_async_context(joined)

    @property
    def demand(self) -> Demand:
        return self.places.demands()["pooled"]


async def test_a_free_place_is_had_at_once() -> None:
    world = World(1)
    async with world.places.place("pooled", A, 1.0, time_left_s=60, expected_tokens=10) as place:
        assert place.is_ready
        assert place.waited_s < 0.1
        assert world.demand == Demand(1, 0, 1.0)
    assert world.demand == Demand(0, 0, 0.0)
    assert len(world.metrics.waits) == 1


async def test_who_waits_gets_the_place_that_is_given_back() -> None:
    world = World(1)
    first = world.places.place("pooled", A, 1.0, time_left_s=60, expected_tokens=10)
    await first.__aenter__()
    waiting = await world.join()
    assert not waiting.is_ready
    assert (world.demand.waiting, world.metrics.depth) == (1, 1)
    await first.__aexit__(None, None, None)
    await asyncio.wait_for(waiting.ready(), 1)
    assert (world.demand.waiting, world.metrics.depth) == (0, 0)
    await world.stack.aclose()


async def test_a_failure_gives_the_place_back() -> None:
    world = World(1)
    with pytest.raises(ValueError, match="broke"):
        async with world.places.place("pooled", A, 1.0, time_left_s=60, expected_tokens=10):
            raise ValueError("broke")
    assert world.demand == Demand()


@pytest.mark.parametrize("turns_of_the_loop", range(6))
async def test_cancelling_at_any_moment_frees_the_place(turns_of_the_loop: int) -> None:
    """One runs, one waits for it and gets it; whichever moment it is cancelled in, nothing stays behind."""
    world = World(1)

    async def work() -> None:
        async with world.places.place("pooled", A, 1.0, time_left_s=60, expected_tokens=10):
            await asyncio.Event().wait()

    first, second = asyncio.create_task(work()), asyncio.create_task(work())
    for _ in range(3):
        await asyncio.sleep(0)
    assert world.demand == Demand(1, 1, 1.0)
    first.cancel()
    for _ in range(turns_of_the_loop):
        await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert world.demand == Demand()


async def test_the_deadline_ends_the_waiting() -> None:
    world = World(1)
    await world.join()
    with pytest.raises(OverloadedError) as late:
        async with world.places.place("pooled", B, 1.0, time_left_s=0.02, expected_tokens=10):
            pass
    assert late.value.retry_after_s
    assert world.demand == Demand(1, 0, 1.0)
    await world.stack.aclose()


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    world = World(1, bounds=Bounds(per_tenant=1, total=10))
    await world.join()
    await world.join()
    with pytest.raises(OverloadedError) as full:
        await world.join()
    assert (full.value.details, full.value.retry_after_s) == ({"reason": "tenant_queue_full"}, 1.0)
    assert world.metrics.shed == ["tenant_queue_full"]
    await world.join(B)
    await world.stack.aclose()
    assert world.demand == Demand()


async def test_more_places_are_handed_out_as_soon_as_there_are_more() -> None:
    world = World(1)
    places = [await world.join() for _ in range(4)]
    assert [place.is_ready for place in places] == [True, False, False, False]
    world.places.resize("pooled", 3)
    assert [place.is_ready for place in places] == [True, True, True, False]
    await world.stack.aclose()


async def test_the_position_is_told_whenever_it_changes_until_the_place_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_places, "POSITIONS_EVERY_S", 0.0)
    world = World(1)
    ahead = [AsyncExitStack() for _ in range(3)]
    for one in ahead:
        await one.enter_async_context(world.places.join("pooled", A, 1.0, time_left_s=60, expected_tokens=10))
    last = await world.join()
    seen = []
    async with asyncio.timeout(5):
        async for position in last.positions():
            seen.append(position)
            await ahead[len(seen) - 1].aclose()
    assert seen == [3, 2, 1]
    assert last.is_ready
    assert last.position == 0
    await world.stack.aclose()


async def test_a_reader_of_positions_may_leave_at_any_time() -> None:
    world = World(1)
    await world.join()
    waiting = await world.join()
    positions = waiting.positions()
    assert await anext(positions) == 1
    await positions.aclose()
    await world.stack.aclose()
    assert world.demand == Demand()


async def test_the_place_kept_free_goes_to_whoever_has_used_less_without_anybody_leaving() -> None:
    """It is the charge that changes who is next."""
    world = World(3, headroom=1)
    async with world.places.place("pooled", B, 1.0, time_left_s=60, expected_tokens=10):
        pass  # of somebody who was served lately a place is kept free
    flood = [await world.join(A) for _ in range(3)]
    assert [place.is_ready for place in flood] == [True, True, False]
    async with world.places.place("pooled", B, 1.0, time_left_s=60, expected_tokens=10) as newcomer:
        newcomer.charge(10, 90)
    owing = await world.join(B)
    assert not owing.is_ready, "it has used 100 tokens, the flood 20 until now"
    flood[0].charge(10, 60)
    assert not owing.is_ready
    flood[1].charge(10, 60)
    assert owing.is_ready
    assert not flood[2].is_ready
    await world.stack.aclose()


async def test_a_pool_without_replicas_holds_requests_until_it_has_one() -> None:
    world = World(4)
    world.places.hold("pooled", 60.0)
    first, second = await world.join(time_left_s=0.05), await world.join(B)
    waiting = asyncio.ensure_future(first.ready())
    await asyncio.sleep(0.1)
    assert not waiting.done(), "its deadline stands still"
    assert world.metrics.depth == 2, "which is what an autoscaler sees"
    world.places.resize("pooled", 1)
    await waiting
    assert (first.is_ready, second.is_ready) == (True, False)
    assert 0.09 < first.held_s < 10
    await world.stack.aclose()
    assert world.metrics.depth == 0


async def test_who_is_held_for_too_long_is_told_that_there_is_no_replica() -> None:
    world = World(4)
    world.places.hold("pooled", 0.05)
    place = await world.join()
    with pytest.raises(PoolUnavailableError) as raised:
        await place.ready()
    assert raised.value.retry_after_s == NO_CAPACITY_RETRY_S
    await world.stack.aclose()
    assert world.demand == Demand(0, 0, 0.0)


async def test_a_deadline_runs_on_where_it_stood_and_holding_again_begins_no_new_patience() -> None:
    world = World(1)
    running, place = await world.join(), await world.join(B, time_left_s=0.2)
    world.places.hold("pooled", 0.3)
    waiting = asyncio.ensure_future(place.ready())
    await asyncio.sleep(0.2)
    world.places.resize("pooled", 1)  # of which `running` has the only one
    held_s = place.held_s
    assert held_s > 0.1
    world.places.hold("pooled", 0.3)
    began = asyncio.get_running_loop().time()
    with pytest.raises(PoolUnavailableError):
        await waiting
    assert asyncio.get_running_loop().time() - began < 0.29
    assert running.is_ready
    world.places.resize("pooled", 1)
    third = await world.join(B, time_left_s=0.05)
    with pytest.raises(OverloadedError):
        await third.ready()


async def test_who_leaves_a_pool_without_replicas_frees_its_place_in_line() -> None:
    world = World(1)
    world.places.hold("pooled", 60.0)
    async with world.places.join("pooled", A, 1.0, time_left_s=60.0, expected_tokens=1):
        behind = await world.join(B)
        assert world.demand.waiting == 2
    assert world.demand.waiting == 1
    world.places.resize("pooled", 1)
    assert behind.is_ready
