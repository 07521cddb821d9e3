"""How routers divide a pool, and that each keeps its part while others come, go and fall silent."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import UpstreamError
from contracts.pools import PoolState
from contracts.tenant import TenantId
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from router.adapters.memory_heartbeats import MemoryHeartbeats
from router.domain.pool_share import Demand, divide
from router.service.engine_places import EnginePlaces
from router.service.pool_share import PoolShare

IDLE = Demand()
DEMANDS = st.builds(Demand, st.integers(0, 50), st.integers(0, 500), st.floats(0, 1_000))


@given(capacity=st.integers(0, 300), demands=st.lists(DEMANDS, min_size=1, max_size=8))
def test_the_parts_are_the_whole_and_each_has_one(capacity: int, demands: list[Demand]) -> None:
    routers = {f"r{number}": demand for number, demand in enumerate(demands)}
    parts = divide(capacity, routers)
    assert sum(parts.values()) == max(capacity, len(routers))
    assert min(parts.values()) >= 1
    assert divide(capacity, dict(reversed(routers.items()))) == parts


@given(capacity=st.integers(10, 300), demands=st.lists(DEMANDS, min_size=1, max_size=8))
def test_nothing_lies_idle_while_a_router_lacks_it(capacity: int, demands: list[Demand]) -> None:
    routers = {f"r{number}": demand for number, demand in enumerate(demands)}
    parts = divide(capacity, routers)
    if any(parts[router] < demand.places for router, demand in routers.items()):
        assert all(parts[router] <= max(1, demand.places) + 1 for router, demand in routers.items())


@pytest.mark.parametrize(
    ("capacity", "demands", "parts"),
    [
        (16, {"a": IDLE}, {"a": 16}),
        (16, {"a": IDLE, "b": IDLE}, {"a": 8, "b": 8}),
        (16, {"a": Demand(0, 120, 1.0), "b": IDLE}, {"a": 15, "b": 1}),
        (16, {"a": Demand(9, 120, 1.0), "b": Demand(1, 0, 1.0)}, {"a": 15, "b": 1}),
        (16, {"a": Demand(8, 120, 1.0), "b": Demand(8, 20, 1.0)}, {"a": 8, "b": 8}),
        (17, {"a": Demand(0, 60, 2.0), "b": Demand(0, 60, 1.0)}, {"a": 11, "b": 6}),
        (2, {"a": IDLE, "b": IDLE, "c": IDLE}, {"a": 1, "b": 1, "c": 1}),
    ],
)
def test_parts(capacity: int, demands: Mapping[str, Demand], parts: Mapping[str, int]) -> None:
    assert divide(capacity, demands) == parts


class Pools:
    def __init__(self, sequences: int) -> None:
        self.sequences: int | None = sequences

    async def pools(self) -> Mapping[str, PoolState]:
        if self.sequences is None:
            raise UpstreamError("orchestrator is out of reach")
        return {"pooled": PoolState(sequences=self.sequences, replicas=1)}


class Failures(NullMetrics):
    def __init__(self) -> None:
        self.counted: list[str] = []

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        if metric is names.DEPENDENCY_FAILURE:
            self.counted.append(dimensions["dependency"])


class Router:
    def __init__(self, router_id: str, heartbeats: MemoryHeartbeats, pools: Pools) -> None:
        self.metrics = Failures()
        self.held = AsyncExitStack()
        self.places = EnginePlaces(self.metrics, headroom=0)
        self.share = PoolShare(router_id, self.places, pools, heartbeats, self.metrics)

    async def fill(self, count: int) -> int:
        """Ask for so many places at once; how many there are."""
        asked = [self.places.join("pooled", TenantId("a"), 1, time_left_s=60, expected_tokens=1) for _ in range(count)]
        places = [await self.held.enter_async_context(one) for one in asked]
        return sum(place.is_ready for place in places)


async def test_one_router_has_the_whole_pool() -> None:
    router = Router("r1", MemoryHeartbeats(), Pools(16))
    await router.share.adjust()
    assert router.share.live_routers() == 1
    assert await router.fill(40) == 16


async def test_two_idle_routers_share_evenly_and_a_busy_one_takes_what_the_other_does_not_need() -> None:
    heartbeats, pools = MemoryHeartbeats(), Pools(16)
    busy, idle = Router("r1", heartbeats, pools), Router("r2", heartbeats, pools)
    for router in (busy, idle, busy):
        await router.share.adjust()
    assert busy.share.live_routers() == idle.share.live_routers() == 2
    assert await busy.fill(40) == 8
    for router in (busy, idle):
        await router.share.adjust()
    assert busy.places.demands()["pooled"].in_flight == 15
    assert await idle.fill(5) == 1


async def test_a_router_that_is_gone_leaves_its_part_to_the_others() -> None:
    clock = [0.0]
    heartbeats, pools = MemoryHeartbeats(now=lambda: clock[0]), Pools(16)
    stays, crashes = Router("r1", heartbeats, pools), Router("r2", heartbeats, pools)
    await crashes.share.adjust()
    await stays.share.adjust()
    assert stays.share.live_routers() == 2
    clock[0] += 2.1
    await stays.share.adjust()
    assert stays.share.live_routers() == 1
    assert await stays.fill(40) == 16


async def test_without_valkey_the_last_known_number_of_routers_shares_evenly() -> None:
    heartbeats, pools = MemoryHeartbeats(), Pools(16)
    routers = [Router(f"r{number}", heartbeats, pools) for number in range(3)]
    for router in (*routers, routers[0]):
        await router.share.adjust()
    heartbeats.down = True
    for _ in range(3):
        await routers[0].share.adjust()
    assert routers[0].share.live_routers() == 3
    assert routers[0].metrics.counted == ["valkey"] * 3
    assert await routers[0].fill(40) == 5


async def test_without_the_orchestrator_the_last_known_size_holds() -> None:
    pools = Pools(4)
    router = Router("r1", MemoryHeartbeats(), pools)
    await router.share.adjust()
    pools.sequences = None
    await router.share.adjust()
    assert router.metrics.counted == ["orchestrator"]
    assert await router.fill(40) == 4


async def test_a_router_that_stops_tells_the_others() -> None:
    heartbeats = MemoryHeartbeats()
    router = Router("r1", heartbeats, Pools(16))
    await router.share.adjust()
    assert "r1" in await heartbeats.beat("observer", {})
    await router.share.leave()
    assert set(await heartbeats.beat("observer", {})) == {"observer"}
    heartbeats.down = True
    await router.share.leave()
    assert router.metrics.counted == ["valkey"]


@pytest.mark.parametrize(
    ("hold_s", "known", "begins"),
    [(0.0, 0, True), (60.0, 0, False), (60.0, 1, True), (60.0, None, True)],
    ids=["not asked for", "held", "one that cannot be reached: fails rather than waits", "an older orchestrator"],
)
async def test_requests_are_held_for_a_known_pool_without_replicas_where_that_is_asked_for(
    hold_s: float, known: int | None, *, begins: bool
) -> None:
    class Empty(Pools):
        async def pools(self) -> Mapping[str, PoolState]:
            return {"pooled": PoolState(sequences=16, replicas=0, known=known)}

    places = EnginePlaces(Failures(), headroom=0)
    share = PoolShare("r", places, Empty(16), MemoryHeartbeats(), Failures(), hold_s=hold_s)
    await share.adjust()
    async with (
        places.join("pooled", TenantId("a"), 1, time_left_s=60, expected_tokens=1) as place,
        places.join("unknown", TenantId("a"), 1, time_left_s=60, expected_tokens=1) as elsewhere,
    ):
        assert place.is_ready is begins
        assert elsewhere.is_ready, "of a pool that nobody knows nobody waits for a replica"
        await share.adjust()
        assert place.is_ready is begins
