"""Tenants' metrics: the store in memory and the one in PostgreSQL keep the same promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from contracts.tenant import TenantId
from support.tenants import TenantStores, memory_stores, opened, postgres_stores
from tenancy.memory_metrics import MemoryMetrics
from tenancy.metrics import Histogram, MetricsRow, Numbers, Sample, Step
from tenancy.metrics_ports import MetricsGroup, MetricsStore
from tenancy.postgres_metrics import PostgresMetrics

NOON = datetime(2001, 5, 4, 12, tzinfo=UTC)
DAY = datetime(2001, 5, 4, tzinfo=UTC)
EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
AT, ROUTE, TENANT = MetricsGroup.AT, MetricsGroup.ROUTE, MetricsGroup.TENANT


class World(NamedTuple):
    metrics: MetricsStore
    stores: TenantStores
    births: dict[TenantId, datetime]

    async def tenant(self) -> TenantId:
        tenant = await self.stores.add()
        record = await self.stores.tenants.read(tenant)
        assert record is not None
        self.births[tenant] = record.revision.born
        return tenant

    def sample(
        self, tenant: TenantId, numbers: Numbers, *, step: Step = Step.HOUR, at: datetime = NOON, route: str = "A"
    ) -> Sample:
        return Sample(tenant, self.births[tenant], step, at, route, numbers)


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    births: dict[TenantId, datetime] = {}
    if request.param == "memory":
        yield World(MemoryMetrics(births), memory_stores(), births)
        return
    async with opened(request.getfixturevalue("database_url")) as database:
        yield World(PostgresMetrics(database), postgres_stores(database), births)


def some(requests: int = 1, *, ms: float = 100.0, **reasons: int) -> Numbers:
    latency = Histogram()
    for _ in range(requests):
        latency.add(ms)
    return Numbers(requests, 10 * requests, 4, 5, 3_000, Counter(reasons), Counter(minute=1), Counter(), latency)


def plain(rows: list[MetricsRow]) -> list[tuple[tuple[str, ...], int, dict[str, int], list[int]]]:
    return [
        (tuple(row.group), row.numbers.requests, dict(row.numbers.refusals), row.numbers.latency.counts) for row in rows
    ]


async def test_what_is_added_twice_to_an_hour_is_its_sum(world: World) -> None:
    tenant = await world.tenant()
    for numbers in (some(2, ms=100, hack=1), some(1, ms=4, hack=1, other=1)):
        await world.metrics.add([world.sample(tenant, numbers)])

    (row,) = await world.metrics.rows(tenant, Step.HOUR, *EVER, (AT,), limit=9)

    numbers = row.numbers
    assert row.group == (NOON.isoformat(),)
    assert (numbers.requests, numbers.prompt_tokens, numbers.cached_tokens) == (3, 30, 8)
    assert (numbers.completion_tokens, numbers.cost_nano_usd) == (10, 6_000)
    assert (numbers.refusals, numbers.throttled, numbers.errors) == ({"hack": 2, "other": 1}, {"minute": 2}, {})
    assert sum(numbers.latency.counts) == 3
    assert numbers.first_token.quantile(0.5) is None


async def test_rows_are_grouped_as_asked_and_in_order(world: World) -> None:
    tenant = await world.tenant()
    later = NOON + timedelta(hours=1)
    await world.metrics.add(
        [
            world.sample(tenant, some(1), at=later, route="B"),
            world.sample(tenant, some(2), at=NOON, route="B"),
            world.sample(tenant, some(4), at=NOON, route="A"),
        ]
    )

    async def asked(*by: MetricsGroup) -> list[tuple[tuple[str, ...], int]]:
        return [row[:2] for row in plain(await world.metrics.rows(tenant, Step.HOUR, *EVER, by, limit=9))]

    assert await asked(ROUTE) == [(("A",), 4), (("B",), 3)]
    assert await asked(AT) == [((NOON.isoformat(),), 6), ((later.isoformat(),), 1)]
    assert await asked(AT, ROUTE) == [
        ((NOON.isoformat(), "A"), 4),
        ((NOON.isoformat(), "B"), 2),
        ((later.isoformat(), "B"), 1),
    ]
    assert await asked() == [((), 7)]


async def test_the_end_is_not_meant_and_hours_are_not_days(world: World) -> None:
    tenant = await world.tenant()
    await world.metrics.add([world.sample(tenant, some(1)), world.sample(tenant, some(5), step=Step.DAY, at=DAY)])

    hour = timedelta(hours=1)
    assert await world.metrics.rows(tenant, Step.HOUR, NOON - hour, NOON, (AT,), limit=9) == []
    assert len(await world.metrics.rows(tenant, Step.HOUR, NOON, NOON + hour, (AT,), limit=9)) == 1
    assert plain(await world.metrics.rows(tenant, Step.DAY, *EVER, (), limit=9))[0][1] == 5


async def test_another_tenants_numbers_and_an_earlier_ones_are_not_seen(world: World) -> None:
    tenant, neighbour = await world.tenant(), await world.tenant()
    await world.metrics.add([world.sample(neighbour, some(1))])
    earlier = Sample(tenant, world.births[tenant] - timedelta(days=1), Step.HOUR, NOON, "A", some(1))
    nobody = Sample(TenantId("never-made"), NOON, Step.HOUR, NOON, "A", some(1))
    await world.metrics.add([earlier, *([nobody] if isinstance(world.metrics, PostgresMetrics) else [])])

    assert await world.metrics.rows(tenant, Step.HOUR, *EVER, (AT,), limit=9) == []


async def test_the_fleet_is_seen_by_tenant_and_day_without_the_words_of_rules(world: World) -> None:
    small, large = await world.tenant(), await world.tenant()
    span = (datetime(2031, 1, 1, tzinfo=UTC), datetime(2031, 2, 1, tzinfo=UTC))
    await world.metrics.add(
        [
            world.sample(small, some(1, secret=1), step=Step.DAY, at=span[0]),
            world.sample(large, some(5, secret=2), step=Step.DAY, at=span[0]),
        ]
    )
    try:
        by_tenant = plain(await world.metrics.fleet(*span, (TENANT,), limit=9))
        assert [(group, requests, refusals) for group, requests, refusals, _ in by_tenant] == [
            ((str(large),), 5, {"all": 2}),
            ((str(small),), 1, {"all": 1}),
        ]
        assert [row[:2] for row in plain(await world.metrics.fleet(*span, (AT,), limit=9))] == [
            ((span[0].isoformat(),), 6)
        ]
        assert len(await world.metrics.fleet(*span, (TENANT,), limit=1)) == 1
        assert [row[:3] for row in plain(await world.metrics.fleet(*span, (), limit=1))] == [((), 6, {"all": 3})]
    finally:
        await world.metrics.forget(hours_before=span[0], days_before=span[1])


async def test_what_is_old_is_forgotten(world: World) -> None:
    tenant = await world.tenant()
    await world.metrics.add([world.sample(tenant, some(1)), world.sample(tenant, some(1), step=Step.DAY, at=DAY)])

    while await world.metrics.forget(hours_before=NOON + timedelta(hours=1), days_before=DAY):
        pass

    assert await world.metrics.rows(tenant, Step.HOUR, *EVER, (AT,), limit=9) == []
    assert len(await world.metrics.rows(tenant, Step.DAY, *EVER, (AT,), limit=9)) == 1
