"""The ledger in memory and the one in PostgreSQL, told the same, side by side: opened, renewed, settled, settled again,
closed as crashed, settled after that, in any order and in any batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date, timedelta
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contracts.tenant import TenantId
from stores.postgres import Database
from support.tenants import fresh_tenant, postgres_stores
from support.usage import MAY_4, so_far
from tenancy.memory_ledger import MemoryLedger
from tenancy.postgres_ledger import PostgresLedger
from tenancy.usage import Counts, GroupBy, LedgerRow, MonthUsage, Outcome, UsageEvent, UsageRow, counts_of
from tenancy.usage_ports import Ledger

EVER = (date(2000, 1, 1), date(2100, 1, 1))
MONTHS = ("2026-05", "2026-06")
BY_ALL = (GroupBy.DAY, GroupBy.ROUTE, GroupBy.MODEL, GroupBy.USER)
AN_HOUR_S = 3_600.0
OUTCOMES = st.sampled_from([one for one in Outcome if one is not Outcome.CRASHED])
TOKENS = st.integers(0, 5)


def belongs(number: int, tokens: int) -> dict[str, Any]:
    """When an event began and whose it is never changes; on which route it is may be known late."""
    began, user = MAY_4 + timedelta(days=20 * (number % 3)), f"u{number % 2}"
    return {"started_at": began, "user_id": user, "route": f"R{tokens % 2}"}


class Told(NamedTuple):
    """All that can be asked of a ledger, but for the times, which are each ledger's own."""

    events: list[UsageEvent]
    totals: list[UsageRow]
    months: list[MonthUsage]
    spends: list[int]


class Ledgers(RuleBasedStateMachine):
    """`final`: what each event was first settled to. Two tenants, so that one could be counted as the other's."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__()
        self.run = runner.run
        self.memory, self.postgres = MemoryLedger(), PostgresLedger(database)
        self.stores = postgres_stores(database)
        self.tenants = [fresh_tenant(), fresh_tenant()]
        self.final: dict[tuple[TenantId, str], UsageEvent] = {}
        self.written: set[tuple[TenantId, str]] = set()
        self.touched: set[TenantId] = set()

    @initialize()
    def there_are_tenants(self) -> None:
        for tenant in self.tenants:
            self.run(self.stores.add(tenant))

    @rule(steps=st.lists(st.tuples(st.integers(0, 5), TOKENS, st.none() | OUTCOMES), min_size=1, max_size=5))
    def write(self, steps: list[tuple[int, int, Outcome | None]]) -> None:
        """Opened and renewed where there is no outcome, else settled: for the first time, again, or after a crash."""
        events = [
            so_far(self.tenants[number % 2], f"e{number}", tokens, outcome=outcome, **belongs(number, tokens))
            for number, tokens, outcome in steps
        ]
        self.both(lambda ledger: ledger.write(events))
        self.touched |= {event.tenant_id for event in events}
        for event in events:
            self.written.add(event.key)
            if event.outcome is not None:
                self.final.setdefault(event.key, event)

    @precondition(lambda self: self.final)
    @rule(data=st.data())
    def settle_again(self, data: st.DataObject) -> None:
        """As a batch does whose commit was not heard of: the very same, and nothing changes."""
        event = self.final[data.draw(st.sampled_from(sorted(self.final, key=str)))]
        before = self.rows(self.postgres, event.tenant_id)
        self.both(lambda ledger: ledger.write([event, event]))
        assert self.rows(self.postgres, event.tenant_id) == before

    @rule()
    def close_orphans(self) -> None:
        self.both(lambda ledger: ledger.close_orphans(-1))
        self.touched |= set(self.tenants)

    @rule()
    def close_none_that_live(self) -> None:
        before = [self.rows(self.postgres, tenant) for tenant in self.tenants]
        self.both(lambda ledger: ledger.close_orphans(AN_HOUR_S))
        assert [self.rows(self.postgres, tenant) for tenant in self.tenants] == before

    @invariant()
    def what_was_touched_is_as_it_should_be(self) -> None:
        while self.touched:
            tenant = self.touched.pop()
            told = self.told(self.postgres, tenant)
            assert told == self.told(self.memory, tenant), "both hold the same"
            self.rows_are_there_once_and_final_as_they_were_first_settled(tenant)
            self.sums_are_those_of_the_rows(tenant, told)

    def rows_are_there_once_and_final_as_they_were_first_settled(self, tenant: TenantId) -> None:
        rows = {row.event.key: row for row in self.rows(self.postgres, tenant)}
        assert rows.keys() == {key for key in self.written if key[0] == tenant}
        for key, row in rows.items():
            assert (row.settled_at is None) == (row.event.outcome is None)
            if key in self.final:
                assert row.event == self.final[key]

    def sums_are_those_of_the_rows(self, tenant: TenantId, told: Told) -> None:
        whole = sum((counts_of(event) for event in told.events if event.outcome is not None), Counts())
        by_user = self.run(self.postgres.totals(tenant, *EVER, (GroupBy.USER,), limit=99))
        for found in (told.totals, by_user):
            assert sum((row.counts for row in found), Counts()) == whole
        assert sum(told.spends) == whole.cost_nano_usd

    def rows(self, ledger: Ledger, tenant: TenantId) -> list[LedgerRow]:
        return self.run(ledger.rows(tenant, after="", limit=99))

    def told(self, ledger: Ledger, tenant: TenantId) -> Told:
        return Told(
            [row.event for row in self.rows(ledger, tenant)],
            self.run(ledger.totals(tenant, *EVER, BY_ALL, limit=99)),
            [self.run(ledger.month(tenant, month)) for month in MONTHS],
            [self.run(ledger.month_spend(tenant, month)) for month in MONTHS],
        )

    def both(self, tell: Callable[[Ledger], Coroutine[Any, Any, object]]) -> None:
        for ledger in (self.memory, self.postgres):
            self.run(tell(ledger))


def test_whatever_is_told_to_both(database_url: str) -> None:
    with asyncio.Runner() as runner:
        database = Database(database_url)
        try:
            run_state_machine_as_test(  # type: ignore[no-untyped-call]
                lambda: Ledgers(runner, database),
                settings=settings(
                    max_examples=20, stateful_step_count=10, deadline=None, suppress_health_check=[HealthCheck.too_slow]
                ),
            )
        finally:
            runner.run(database.close())
