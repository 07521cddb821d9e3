"""Where the usage ledger is kept. Every method raises DependencyDownError when the store is out of reach."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from contracts.tenant import TenantId
from tenancy.usage import GroupBy, LedgerRow, MonthUsage, UsageEvent, UsageRow

MAX_BATCH = 1_000
STALE_S = 8.0
"""Whoever lives renews its open events every two seconds: one that was not renewed for so long is nobody's."""


class Ledger(Protocol):
    async def write(self, events: Sequence[UsageEvent]) -> None:
        """All of them in one transaction, of whatever tenants; `tenancy.usage.written_over` says what becomes of those
        that are there already, so that a batch may be repeated. Events of a tenant that is gone are left out.

        Raises ValueError for an event that cannot be kept as it is, and then keeps none.
        """
        ...

    async def close_orphans(self, older_than_s: float) -> int:
        """Close open events that were not renewed for so long as crashed, with what they had used; returns how many."""
        ...

    async def month_spend(self, tenant_id: TenantId, month: str) -> int:
        """Nano-USD of the requests that started in the month (`2026-01`, UTC): of what is settled, and of what is stale
        and therefore going to be closed with what it has used."""
        ...

    async def month(self, tenant_id: TenantId, month: str) -> MonthUsage: ...

    async def totals(
        self, tenant_id: TenantId, first: date, end: date, group_by: Sequence[GroupBy], *, limit: int
    ) -> list[UsageRow]:
        """Sums of the days from `first` to the one before `end`, in the order of their groups, at most `limit`.

        Reads sums that are kept with the ledger, not the ledger.
        """
        ...

    async def rows(
        self, tenant_id: TenantId, *, after: str, limit: int, born: datetime | None = None
    ) -> list[LedgerRow]:
        """In order of event id, those greater than `after`. Raises NotFoundError where `born` is another tenant's."""
        ...
