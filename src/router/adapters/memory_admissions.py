"""Admission in memory: the same rule as the Lua script, for tests and for one process alone."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from contracts.tenant import TenantId
from router.domain.admission import Admission, Ask, Limits, LimitState, Refusal, Timing, Used
from router.domain.admission_book import AdmissionBook


def wall_clock_us() -> int:
    return time.time_ns() // 1_000


class MemoryAdmissions:
    def __init__(self, timing: Timing | None = None, clock_us: Callable[[], int] = wall_clock_us) -> None:
        """`clock_us`: microseconds since 1970."""
        self._clock_us = clock_us
        self._books: defaultdict[TenantId, AdmissionBook] = defaultdict(lambda: AdmissionBook(timing))

    async def admit(
        self, tenant_id: TenantId, limits: Limits, ask: Ask, month: str, spent_nano_usd: int | None = None
    ) -> Admission:
        return self._books[tenant_id].admit(limits, ask, month, spent_nano_usd, self._clock_us())

    async def renew(self, tenant_id: TenantId, lease_id: str, used: Used) -> bool:
        return self._books[tenant_id].renew(lease_id, used, self._clock_us())

    async def settle(
        self,
        tenant_id: TenantId,
        lease_id: str,
        used: Used,
        month: str,
        *,
        ago_s: float = 0.0,
        in_ledger: bool = True,
    ) -> bool:
        ago_us, now = round(ago_s * 1_000_000), self._clock_us()
        return self._books[tenant_id].settle(lease_id, used, month, ago_us, now, in_ledger=in_ledger)

    async def state(
        self, tenant_id: TenantId, limits: Limits, month: str, spent_nano_usd: int | None = None
    ) -> tuple[LimitState, ...]:
        return self._books[tenant_id].state(limits, month, spent_nano_usd, self._clock_us())

    async def last_refusal(self, tenant_id: TenantId) -> Refusal | None:
        return self._books[tenant_id].last_refusal()
