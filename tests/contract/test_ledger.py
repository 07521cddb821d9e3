"""The usage ledger: the one in memory and the one in PostgreSQL keep the same promises."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cli.local.postgres import SERVICE_ROLE, migrate
from contracts.tenant import TenantId
from stores.postgres import Database
from support.catalog import waits_for_a_lock
from support.postgres import Addresses
from support.tenants import ALICE, TenantStores, fresh_tenant, memory_stores, opened, postgres_stores
from support.usage import MAY_4, an_event, so_far
from tenancy import memory_ledger, postgres_ledger
from tenancy.memory_ledger import MemoryLedger
from tenancy.postgres_deletions import PostgresDeletionStore
from tenancy.postgres_ledger import PostgresLedger
from tenancy.usage import Counts, GroupBy, LedgerRow, Outcome, UsageEvent, UsageRow, counts_of, written_over
from tenancy.usage_ports import Ledger

EVER = (date(2000, 1, 1), date(2100, 1, 1))
BY_ALL = (GroupBy.DAY, GroupBy.ROUTE, GroupBy.MODEL, GroupBy.USER)
NOBODY_WAITS_S = 3_600.0


class World(NamedTuple):
    ledger: Ledger
    stores: TenantStores
    database: Database | None = None

    async def tenant(self) -> TenantId:
        return await self.stores.add()

    async def held(self, tenant: TenantId) -> list[LedgerRow]:
        return await self.ledger.rows(tenant, after="", limit=1_000)

    async def one(self, tenant: TenantId) -> UsageEvent:
        (row,) = await self.held(tenant)
        return row.event

    async def total(self, tenant: TenantId) -> Counts:
        """Of all time. By day and by user it must be the same."""
        found = [
            sum((row.counts for row in await self.ledger.totals(tenant, *EVER, by, limit=9_999)), Counts())
            for by in ((GroupBy.DAY,), (GroupBy.USER,))
        ]
        assert found[0] == found[1]
        return found[0]

    async def by(self, tenant: TenantId, *group: GroupBy, limit: int = 1_000) -> list[UsageRow]:
        return await self.ledger.totals(tenant, *EVER, group, limit=limit)


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield World(MemoryLedger(), memory_stores())
        return
    async with opened(request.getfixturevalue("database_url")) as database:
        yield World(PostgresLedger(database), postgres_stores(database), database)


@pytest.fixture
async def real(database_url: str) -> AsyncIterator[World]:
    async with opened(database_url) as database:
        yield World(PostgresLedger(database), postgres_stores(database), database)


# --- what becomes of an event -------------------------------------------------------------------------------------


async def test_a_settled_event_is_there_as_it_was_and_in_the_sums(world: World) -> None:
    tenant = await world.tenant()
    event = an_event(tenant, user_id='Grüße "👋"\n')
    await world.ledger.write([event])
    (row,) = await world.held(tenant)
    assert row.event == event
    assert row.settled_at is not None
    assert await world.total(tenant) == Counts(1, 10, 4, 5, 3_000)


async def test_settling_twice_changes_nothing(world: World) -> None:
    tenant = await world.tenant()
    event = an_event(tenant, "e1")
    await world.ledger.write([event])
    before = await world.held(tenant)
    await world.ledger.write([event, event])
    await world.ledger.write([an_event(tenant, "e1", completion_tokens=99, outcome=Outcome.ERROR)])
    assert await world.held(tenant) == before
    assert await world.total(tenant) == counts_of(event)


async def test_an_open_event_is_in_no_sum_until_it_is_settled(world: World) -> None:
    tenant = await world.tenant()
    await world.ledger.write([so_far(tenant, "e1", 1, route="")])
    await world.ledger.write([so_far(tenant, "e1", 3, route="")])
    assert (await world.one(tenant)).completion_tokens == 3
    assert await world.total(tenant) == Counts()
    await world.ledger.write([an_event(tenant, "e1", completion_tokens=7)])
    assert await world.by(tenant, GroupBy.ROUTE) == [UsageRow(("GENERAL",), Counts(1, 10, 4, 7, 3_000))]


async def test_a_renewal_that_comes_late_changes_nothing(world: World) -> None:
    tenant = await world.tenant()
    await world.ledger.write([so_far(tenant, "e1", 5)])
    await world.ledger.write([so_far(tenant, "e1", 2)])
    assert (await world.one(tenant)).completion_tokens == 5
    settled = an_event(tenant, "e1", completion_tokens=6)
    await world.ledger.write([settled])
    await world.ledger.write([so_far(tenant, "e1", 9)])
    assert await world.one(tenant) == settled


async def test_one_batch_may_say_several_things_of_an_event(world: World) -> None:
    tenant = await world.tenant()
    first, second = an_event(tenant, "e1", completion_tokens=7), an_event(tenant, "e1", completion_tokens=8)
    await world.ledger.write([so_far(tenant, "e1", 9), first, second, so_far(tenant, "e1", 10)])
    assert await world.one(tenant) == first
    assert await world.total(tenant) == counts_of(first)


async def test_what_nobody_renews_is_in_the_months_spend_before_it_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing it changes no spend: so whoever asks need not know whether that has happened yet."""
    tenant = await world.tenant()
    await world.ledger.write([an_event(tenant), so_far(tenant, "e1", 3)])
    assert await world.ledger.month_spend(tenant, "2026-05") == 3_000
    for ledger in (memory_ledger, postgres_ledger):
        monkeypatch.setattr(ledger, "STALE_S", -1.0)  # as if that long had passed
    assert await world.ledger.month_spend(tenant, "2026-05") == 3_000 + 1_300
    assert await world.ledger.month_spend(tenant, "2026-04") == 0
    assert await world.ledger.close_orphans(-1) >= 1
    assert await world.ledger.month_spend(tenant, "2026-05") == 3_000 + 1_300


async def test_whoever_is_not_renewed_is_closed_with_what_it_had_used(world: World) -> None:
    tenant = await world.tenant()
    await world.ledger.write([so_far(tenant, "e1", 3), so_far(tenant, "e2", 4), an_event(tenant, "e3")])
    assert await world.ledger.close_orphans(NOBODY_WAITS_S) == 0
    assert [row.settled_at is None for row in await world.held(tenant)] == [True, True, False]
    assert await world.ledger.close_orphans(-1) >= 2
    outcomes = [row.event.outcome for row in await world.held(tenant)]
    assert outcomes == [Outcome.CRASHED, Outcome.CRASHED, Outcome.ANSWERED]
    assert await world.total(tenant) == Counts(3, 30, 12, 12, 1_300 + 1_400 + 3_000)


async def test_what_was_closed_as_crashed_is_corrected_by_whatever_settles_it(world: World) -> None:
    tenant = await world.tenant()
    await world.ledger.write([so_far(tenant, "e1", 3, route="", price_version=1)])
    await world.ledger.close_orphans(-1)
    truth = an_event(tenant, "e1", completion_tokens=2, route="DIET", user_id="u2", price_version=2)
    await world.ledger.write([truth])
    assert await world.one(tenant) == truth
    assert await world.by(tenant, *BY_ALL) == [UsageRow(("2026-05-04", "DIET", "m1", "u2"), counts_of(truth))]
    assert await world.total(tenant) == counts_of(truth)
    lines = (await world.ledger.month(tenant, "2026-05")).lines
    assert [(line.price_version, line.counts) for line in lines] == [(2, counts_of(truth))]


async def test_a_renewal_after_the_crash_keeps_it_closed_and_corrects_the_counts(world: World) -> None:
    tenant = await world.tenant()
    await world.ledger.write([so_far(tenant, "e1", 3)])
    await world.ledger.close_orphans(-1)
    await world.ledger.write([so_far(tenant, "e1", 8)])
    await world.ledger.write([so_far(tenant, "e1", 5)])
    held = await world.one(tenant)
    assert (held.completion_tokens, held.outcome) == (8, Outcome.CRASHED)
    assert await world.total(tenant) == counts_of(held)


async def test_only_the_ledger_says_crashed(world: World) -> None:
    tenant = await world.tenant()
    with pytest.raises(ValueError, match="crashed"):
        await world.ledger.write([an_event(tenant), an_event(tenant, outcome=Outcome.CRASHED)])
    assert await world.held(tenant) == []


async def test_an_event_that_cannot_be_kept_is_an_error_and_nothing_of_its_batch_is(real: World) -> None:
    tenant = await real.tenant()
    for impossible in ({"cost_nano_usd": 2**63}, {"prompt_tokens": -1}, {"cost_nano_usd": 2**70}):
        with pytest.raises(ValueError, match="cannot keep"):
            await real.ledger.write([an_event(tenant), an_event(tenant, **impossible)])
    assert await real.held(tenant) == []


async def test_a_name_that_cannot_be_kept_does_not_cost_the_bill(real: World) -> None:
    tenant = await real.tenant()
    await real.ledger.write([an_event(tenant, user_id="a\x00b\ud800", model="m" * 9_999)])
    held = await real.one(tenant)
    assert (held.user_id, held.model) == ("a\ufffdb?", "m" * 256)
    assert (await real.total(tenant)).requests == 1


async def test_a_batch_has_rows_of_many_tenants_and_each_sees_its_own(world: World) -> None:
    tenants = [await world.tenant() for _ in range(5)]
    events = [an_event(tenant, prompt_tokens=number) for number in range(40) for tenant in tenants]
    random.Random(4).shuffle(events)
    await world.ledger.write(events)
    for tenant in tenants:
        assert {row.event.tenant_id for row in await world.held(tenant)} == {tenant}
        assert await world.total(tenant) == Counts(40, sum(range(40)), 160, 200, 120_000)


# --- tenants that are gone ----------------------------------------------------------------------------------------


async def test_rows_of_tenants_that_are_gone_are_left_out(world: World) -> None:
    tenant, nobody = await world.tenant(), fresh_tenant()
    if isinstance(world.ledger, MemoryLedger):
        world.ledger.tenants = {tenant}
    await world.ledger.write([an_event(nobody), an_event(tenant), an_event(nobody)])
    assert await world.held(nobody) == []
    assert await world.total(nobody) == Counts()
    assert (await world.total(tenant)).requests == 1


async def test_nothing_is_written_of_a_tenant_that_is_being_deleted_nor_of_its_successor(real: World) -> None:
    assert real.database is not None
    tenant, deletions = await real.tenant(), PostgresDeletionStore(real.database)
    record = await real.stores.tenants.read(tenant)
    assert record is not None
    born = record.revision.born
    await real.ledger.write([so_far(tenant, "e1", 1, tenant_born=born)])
    assert len(await real.held(tenant)) == 1
    await deletions.begin(tenant, by=ALICE)
    await real.ledger.write([an_event(tenant, "e1", tenant_born=born), an_event(tenant)])
    assert await real.ledger.close_orphans(-1) >= 0
    assert [row.event.outcome for row in await real.held(tenant)] == [None]
    while await deletions.purge(tenant, 100):
        pass
    await deletions.finish(tenant, by=ALICE, proof={})
    await real.stores.add(tenant)
    await real.ledger.write([an_event(tenant, tenant_born=born)])
    assert await real.held(tenant) == []
    await real.ledger.write([an_event(tenant)])
    assert (await real.total(tenant)).requests == 1


async def test_a_deletion_waits_for_a_batch_that_is_under_way(real: World, postgres: Addresses) -> None:
    assert real.database is not None
    tenant, deletions = await real.tenant(), PostgresDeletionStore(real.database)
    await deletions.begin(tenant, by=ALICE)
    async with real.database.tenant(tenant) as batch:  # as `record_usage` locks it
        await batch.execute(
            text("SELECT FROM tenants WHERE tenant_id = :tenant FOR KEY SHARE"), {"tenant": str(tenant)}
        )
        purge = asyncio.create_task(deletions.purge(tenant, 100))
        await waits_for_a_lock(postgres.owner_url, batch)
    await purge


# --- what is asked of it ------------------------------------------------------------------------------------------


async def test_sums_are_grouped_by_what_was_asked_in_its_order(world: World) -> None:
    tenant = await world.tenant()
    next_day = MAY_4 + timedelta(days=1)
    await world.ledger.write(
        [
            an_event(tenant, route="A", user_id="u1"),
            an_event(tenant, route="B", user_id="u1", started_at=next_day),
            an_event(tenant, route="A", user_id="u2", started_at=next_day),
            an_event(tenant, route="A", user_id="u2", model="m2"),
        ]
    )

    async def groups(*by: GroupBy) -> list[tuple[tuple[str, ...], int]]:
        return [(row.group, row.counts.requests) for row in await world.by(tenant, *by)]

    assert await groups(GroupBy.DAY) == [(("2026-05-04",), 2), (("2026-05-05",), 2)]
    assert await groups(GroupBy.ROUTE) == [(("A",), 3), (("B",), 1)]
    assert await groups(GroupBy.MODEL) == [(("m1",), 3), (("m2",), 1)]
    assert await groups(GroupBy.USER) == [(("u1",), 2), (("u2",), 2)]
    assert await groups(GroupBy.USER, GroupBy.ROUTE) == [(("u1", "A"), 1), (("u1", "B"), 1), (("u2", "A"), 2)]
    assert await groups(GroupBy.ROUTE, GroupBy.DAY)  == [
        (("A", "2026-05-04"), 2),
        (("A", "2026-05-05"), 1),
        (("B", "2026-05-05"), 1),
    ]  # fmt: skip
    assert len(await world.by(tenant, *BY_ALL)) == 4
    assert len(await world.by(tenant, *BY_ALL, limit=3)) == 3


async def test_a_request_belongs_to_the_utc_day_on_which_it_started(world: World) -> None:
    tenant = await world.tenant()
    late = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    await world.ledger.write(
        [
            an_event(tenant, "e1", started_at=late),
            an_event(tenant, "e2", started_at=late + timedelta(microseconds=1), cost_nano_usd=5),
            so_far(tenant, "e3", 1, started_at=late),
        ]
    )
    assert [row.group for row in await world.by(tenant, GroupBy.DAY)] == [("2026-01-31",), ("2026-02-01",)]
    january = await world.ledger.totals(tenant, date(2026, 1, 1), date(2026, 2, 1), [GroupBy.DAY], limit=9)
    assert [row.counts.cost_nano_usd for row in january] == [3_000]
    assert await world.ledger.month_spend(tenant, "2026-01") == 3_000
    assert await world.ledger.month_spend(tenant, "2026-02") == 5
    assert await world.ledger.month_spend(tenant, "2025-12") == 0
    months = [await world.ledger.month(tenant, month) for month in ("2026-01", "2026-02")]
    assert [month.open for month in months] == [1, 0]
    with pytest.raises(ValueError, match="month"):
        await world.ledger.month_spend(tenant, "2026-13")


async def test_by_user_whole_months_and_the_days_around_them_are_the_span(world: World) -> None:
    tenant = await world.tenant()
    chosen = random.Random(7)
    began = datetime(2025, 11, 20, tzinfo=UTC)
    days = [began + timedelta(days=chosen.randrange(150), hours=chosen.randrange(24)) for _ in range(200)]
    await world.ledger.write(
        [an_event(tenant, started_at=day, user_id=f"u{number % 3}") for number, day in enumerate(days)]
    )
    firsts = [date(2025, 11, 1), date(2025, 12, 1), date(2026, 2, 2)]
    spans = [(first, first + timedelta(days=length)) for first in firsts for length in (1, 27, 30, 31, 62, 90, 200)]
    spans += [(date(2025, 12, 31), date(2026, 1, 1)), (date(2026, 1, 31), date(2026, 3, 1)), (firsts[2], firsts[2])]
    for first, end in spans:
        meant = [number for number, day in enumerate(days) if first <= day.date() < end]
        found = await world.ledger.totals(tenant, first, end, [GroupBy.USER], limit=99)
        told = {row.group[0]: row.counts.requests for row in found}
        assert told == Counter(f"u{number % 3}" for number in meant), (first, end)


async def test_rows_are_read_page_by_page(world: World) -> None:
    tenant = await world.tenant()
    events = sorted((an_event(tenant) for _ in range(7)), key=lambda event: event.event_id)
    await world.ledger.write(events)
    found: list[UsageEvent] = []
    while page := await world.ledger.rows(tenant, after=found[-1].event_id if found else "", limit=3):
        found += [row.event for row in page]
    assert found == events


# --- many at once -------------------------------------------------------------------------------------------------


async def test_writers_of_the_same_rows_at_once_neither_deadlock_nor_count_twice(real: World) -> None:
    tenants = [await real.tenant() for _ in range(4)]
    truth = [
        an_event(tenant, f"e{number}", prompt_tokens=number, user_id=f"u{number % 7}")
        for tenant in tenants
        for number in range(40)
    ]
    seen = random.Random(1)

    def batch() -> Sequence[UsageEvent]:
        some = seen.sample(truth, 100)
        return [so_far(e.tenant_id, e.event_id, 1) if seen.random() < 0.4 else e for e in some]

    await asyncio.gather(
        *(real.ledger.write(batch()) for _ in range(30)), *(real.ledger.close_orphans(-1) for _ in range(6))
    )
    await real.ledger.write(truth)
    for tenant in tenants:
        assert await real.total(tenant) == Counts(40, sum(range(40)), 160, 200, 120_000)


# A step: which of three events; settled with these tokens, renewed with these, or everything open is closed.
_STEP = st.tuples(st.integers(0, 2), st.sampled_from(["settle", "renew", "crash"]), st.integers(0, 9))


async def _walk(world: World, batches: list[list[tuple[int, str, int]]]) -> None:
    """Against the rule itself, applied one by one: rows, sums of the rows, and the sums that are kept must agree."""
    tenant, model = await world.tenant(), {}
    for batch in batches:
        events = []
        for number, verb, tokens in batch:
            if verb == "crash":
                continue
            fields = {"route": f"R{tokens % 2}", "user_id": f"u{tokens % 3}", "price_version": 1 + tokens % 2}
            outcome = Outcome.ANSWERED if verb == "settle" else None
            event = so_far(tenant, f"e{number}", tokens, outcome=outcome, **fields)
            events.append(event)
            old = model.get(number)
            model[number] = event if old is None else written_over(old, event)
        await world.ledger.write(events)
        if any(verb == "crash" for _, verb, _ in batch):
            await world.ledger.close_orphans(-1)
            for number, event in model.items():
                if event.outcome is None:
                    model[number] = an_event(
                        tenant,
                        event.event_id,
                        **{name: getattr(event, name) for name in ("route", "user_id", "price_version")},
                        completion_tokens=event.completion_tokens,
                        cost_nano_usd=event.cost_nano_usd,
                        outcome=Outcome.CRASHED,
                    )
    assert [row.event for row in await world.held(tenant)] == [model[number] for number in sorted(model)]
    sums: dict[tuple[str, ...], Counts] = {}
    for event in model.values():
        if event.outcome is not None:
            group = (event.day.isoformat(), event.route, event.model, event.user_id)
            sums[group] = sums.get(group, Counts()) + counts_of(event)
    assert {row.group: row.counts for row in await world.by(tenant, *BY_ALL)} == sums
    whole = sum(sums.values(), Counts())
    assert await world.total(tenant) == whole
    lines = (await world.ledger.month(tenant, "2026-05")).lines
    assert sum((line.counts for line in lines), Counts()) == whole
    assert await world.ledger.month_spend(tenant, "2026-05") == whole.cost_nano_usd


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_STEP, min_size=1, max_size=6), min_size=1, max_size=6))
async def test_any_interleaving_leaves_the_truth_and_its_sums(
    world: World, batches: list[list[tuple[int, str, int]]]
) -> None:
    await _walk(world, batches)


async def test_the_service_role_itself_can_write_nothing(real: World) -> None:
    assert real.database is not None
    tenant = await real.tenant()
    await real.ledger.write([an_event(tenant)])
    for statement in (
        "UPDATE usage_events SET cost_nano_usd = 0 WHERE tenant_id = :tenant",
        "DELETE FROM usage_events WHERE tenant_id = :tenant",
        "UPDATE usage_by_day SET cost_nano_usd = 0 WHERE tenant_id = :tenant",
        "INSERT INTO usage_by_user SELECT * FROM usage_by_user WHERE tenant_id = :tenant",
        "SELECT add_usage('{}', '{}') WHERE :tenant <> ''",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with real.database.tenant(tenant) as connection:
                await connection.execute(text(statement), {"tenant": str(tenant)})


async def test_an_owner_of_the_schema_who_is_no_superuser_is_enough(postgres: Addresses) -> None:
    """As on RDS, where row-level security holds for the owner's functions too."""
    name = f"t{secrets.token_hex(4)}"
    url = postgres.url.replace("/atrium?", f"/{name}?")
    with psycopg.connect(postgres.owner_url, autocommit=True) as root:
        root.execute(f"CREATE ROLE {name} LOGIN NOSUPERUSER NOBYPASSRLS".encode())
        root.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
        try:
            migrate(url.replace(f"{SERVICE_ROLE}@", f"{name}@"))
            async with opened(url) as database:
                world = World(PostgresLedger(database), postgres_stores(database), database)
                tenant = await world.tenant()
                await world.ledger.write([so_far(tenant, "e1", 1), so_far(tenant, "e2", 1), an_event(tenant, "e3")])
                assert await world.ledger.close_orphans(-1) == 2
                await world.ledger.write([an_event(tenant, "e1"), so_far(tenant, "e2", 5)])
                assert await world.total(tenant) == Counts(3, 30, 12, 15, 6_000 + 1_500)
                deletions = PostgresDeletionStore(database)
                await deletions.begin(tenant, by=ALICE)
                done = await deletions.finish(tenant, by=ALICE, proof={})
                assert done is not None
                assert done.removed["postgres.usage_events"] == 3
        finally:
            root.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            root.execute(f"DROP ROLE {name}".encode())


_KEPT_AND_COUNTED = """
WITH kept AS (
  SELECT tenant_id, {at}, {dimensions}, requests, prompt_tokens, cached_tokens, completion_tokens, cost_nano_usd
    FROM {table} WHERE requests <> 0),
counted AS (
  SELECT tenant_id, date_trunc('{at}', started_at AT TIME ZONE 'UTC')::date, {dimensions}, count(*), sum(prompt_tokens),
         sum(cached_tokens), sum(completion_tokens), sum(cost_nano_usd)
    FROM usage_events WHERE state = 'settled' GROUP BY 1, 2, {dimensions})
SELECT (SELECT count(*) FROM (TABLE kept EXCEPT TABLE counted) AS a),
       (SELECT count(*) FROM (TABLE counted EXCEPT TABLE kept) AS b), (SELECT count(*) FROM kept)
"""


@pytest.mark.parametrize(
    ("table", "at", "dimensions"),
    [
        ("usage_by_day", "day", "route, model, price_version"),
        ("usage_by_user", "day", "user_id, route, model"),
        ("usage_by_user_month", "month", "user_id, route, model"),
    ],
)
async def test_the_sums_kept_are_those_of_the_events(postgres: Addresses, table: str, at: str, dimensions: str) -> None:
    """Over whatever the tests above have left."""
    statement = _KEPT_AND_COUNTED.format(table=table, at=at, dimensions=dimensions)
    with psycopg.connect(postgres.owner_url) as owner:
        row = owner.execute(statement.encode()).fetchone()
    assert row is not None
    assert row[:2] == (0, 0)
