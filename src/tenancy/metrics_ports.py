"""Where tenants' metrics are kept. Every method raises DependencyDownError when the store is out of reach."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from contracts.tenant import TenantId
from tenancy.metrics import MetricsRow, Sample, Step


class MetricsGroup(StrEnum):
    AT = "at"
    ROUTE = "route"
    TENANT = "tenant"


class MetricsStore(Protocol):
    async def add(self, samples: Sequence[Sample]) -> None:
        """Each to its row, of whatever tenants, in one transaction; no two for the same row. Those of a tenant that is
        gone, or was made again since, are left out."""
        ...

    async def rows(
        self,
        tenant_id: TenantId,
        step: Step,
        first: datetime,
        end: datetime,
        group_by: Sequence[MetricsGroup],
        *,
        limit: int,
    ) -> list[MetricsRow]:
        """Sums of the tenant's hours or days from `first` to before `end`, in the order of their groups; `at` as ISO
        8601 in UTC. Without a group one row, or none."""
        ...

    async def fleet(
        self, first: datetime, end: datetime, group_by: Sequence[MetricsGroup], *, limit: int
    ) -> list[MetricsRow]:
        """The same of all tenants' days; those with the most requests first, unless by `at`."""
        ...

    async def forget(self, *, hours_before: datetime, days_before: datetime) -> int:
        """Remove older rows of all tenants, a bounded number of them; returns how many."""
        ...
