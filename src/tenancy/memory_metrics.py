"""Tenants' metrics in memory, for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime

from contracts.tenant import TenantId
from tenancy.metrics import MetricsRow, Numbers, Sample, Step
from tenancy.metrics_ports import MetricsGroup

_Key = tuple[TenantId, Step, datetime, str]


class MemoryMetrics:
    """`born`: when each tenant was made; None: whatever a sample says."""

    def __init__(self, born: dict[TenantId, datetime] | None = None) -> None:
        self.born = born
        self._rows: dict[_Key, Numbers] = {}

    async def add(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            if self.born is None or self.born.get(sample.tenant_id) == sample.born:
                key = (sample.tenant_id, sample.step, sample.at, sample.route)
                self._rows.setdefault(key, Numbers()).merge(deepcopy(sample.numbers))

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
        found = self._summed(step, first, end, group_by, of=tenant_id)
        return sorted(found, key=lambda row: tuple(row.group))[:limit]

    async def fleet(
        self, first: datetime, end: datetime, group_by: Sequence[MetricsGroup], *, limit: int
    ) -> list[MetricsRow]:
        found = self._summed(Step.DAY, first, end, group_by)
        for row in found:
            row.numbers.refusals = Counter({"all": total} if (total := row.numbers.refusals.total()) else {})
        at = group_by.index(MetricsGroup.AT) if MetricsGroup.AT in group_by else None
        return sorted(found, key=lambda row: ("" if at is None else row.group[at], -row.numbers.requests))[:limit]

    async def forget(self, *, hours_before: datetime, days_before: datetime) -> int:
        before = {Step.HOUR: hours_before, Step.DAY: days_before}
        old = [key for key in self._rows if key[2] < before[key[1]]]
        for key in old:
            del self._rows[key]
        return len(old)

    def _summed(
        self,
        step: Step,
        first: datetime,
        end: datetime,
        group_by: Sequence[MetricsGroup],
        of: TenantId | None = None,
    ) -> list[MetricsRow]:
        sums: dict[tuple[str, ...], Numbers] = {}
        for (tenant_id, of_step, at, route), numbers in self._rows.items():
            if of_step is not step or not first <= at < end or of not in (None, tenant_id):
                continue
            said = {
                MetricsGroup.AT: at.isoformat(),
                MetricsGroup.ROUTE: route,
                MetricsGroup.TENANT: str(tenant_id),
            }
            sums.setdefault(tuple(said[name] for name in group_by), Numbers()).merge(numbers)
        return [MetricsRow(group, numbers) for group, numbers in sums.items()]
