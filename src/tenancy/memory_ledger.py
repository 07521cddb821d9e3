"""The usage ledger in memory: no sums are kept, they are made of the events. For tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from contracts.tenant import TenantId
from tenancy.usage import (
    Counts,
    GroupBy,
    LedgerRow,
    MonthUsage,
    Outcome,
    PricedUsage,
    UsageEvent,
    UsageRow,
    coalesced,
    counts_of,
    month_days,
    written_over,
)
from tenancy.usage_ports import STALE_S


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryLedger:
    def __init__(self, now: Callable[[], datetime] = _utc_now) -> None:
        self.tenants: Container[TenantId] | None = None
        """Those that there are; None: all."""
        self._now = now
        self._rows: dict[tuple[TenantId, str], LedgerRow] = {}

    async def write(self, events: Sequence[UsageEvent]) -> None:
        for event in coalesced(events):
            if self.tenants is None or event.tenant_id in self.tenants:
                self._write(replace(event, tenant_born=None))

    def _write(self, event: UsageEvent) -> None:
        old = self._rows.get(event.key)
        result = event if old is None else written_over(old.event, event)
        if old is None or result is not old.event:
            settled_at = self._now() if event.outcome is not None else old.settled_at if old else None
            self._rows[event.key] = LedgerRow(result, self._now(), settled_at)

    async def close_orphans(self, older_than_s: float) -> int:
        now = self._now()
        stale = [
            key
            for key, row in self._rows.items()
            if row.settled_at is None and now - row.renewed_at > timedelta(seconds=older_than_s)
        ]
        for key in stale:
            row = self._rows[key]
            self._rows[key] = replace(row, event=replace(row.event, outcome=Outcome.CRASHED), settled_at=now)
        return len(stale)

    async def month_spend(self, tenant_id: TenantId, month: str) -> int:
        stale = self._now() - timedelta(seconds=STALE_S)
        return sum(
            row.event.cost_nano_usd
            for row in self._of(tenant_id, *month_days(month))
            if row.settled_at is not None or row.renewed_at < stale
        )

    async def month(self, tenant_id: TenantId, month: str) -> MonthUsage:
        found: defaultdict[tuple[str, int], Counts] = defaultdict(Counts)
        opened = 0
        for row in self._of(tenant_id, *month_days(month)):
            opened += row.settled_at is None
            if row.settled_at is not None:
                found[row.event.model, row.event.price_version] += counts_of(row.event)
        return MonthUsage(tuple(PricedUsage(*key, found[key]) for key in sorted(found)), opened)

    async def totals(
        self, tenant_id: TenantId, first: date, end: date, group_by: Sequence[GroupBy], *, limit: int
    ) -> list[UsageRow]:
        found: defaultdict[tuple[str, ...], Counts] = defaultdict(Counts)
        for row in self._of(tenant_id, first, end):
            if row.settled_at is not None:
                found[tuple(_value(row.event, name) for name in group_by)] += counts_of(row.event)
        return [UsageRow(group, found[group]) for group in sorted(found)][:limit]

    async def rows(
        self, tenant_id: TenantId, *, after: str, limit: int, born: datetime | None = None
    ) -> list[LedgerRow]:
        found = sorted(event_id for owner, event_id in self._rows if owner == tenant_id and event_id > after)
        return [self._rows[tenant_id, event_id] for event_id in found[:limit]]

    def _of(self, tenant_id: TenantId, first: date, end: date) -> Iterator[LedgerRow]:
        for row in self._rows.values():
            if row.event.tenant_id == tenant_id and first <= row.event.day < end:
                yield row


def _value(event: UsageEvent, name: GroupBy) -> str:
    match name:
        case GroupBy.DAY:
            return event.day.isoformat()
        case GroupBy.ROUTE:
            return event.route
        case GroupBy.MODEL:
            return event.model
        case GroupBy.USER:
            return event.user_id
