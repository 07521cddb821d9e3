"""Admission by this process alone, while Valkey is out of reach: each router has its share of every limit.

Rates, tokens and concurrency: the limit divided by the routers that live, rounded down, at least one; counted from
nothing in the first outage, and on from there in the next. Budget: closed where the last known remainder is unknown or
below a tenth of the budget, else the share of that remainder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from router.domain.admission import MONTHLY_BUDGET, Admission, Ask, Limits, LimitState, Refusal, Timing, Used
from router.domain.admission_book import AdmissionBook

CLOSED_BELOW = 10
"""A remainder of less than one part in so many of the budget is too little to share without being seen by all."""
_FORGET_US = 2 * 3_600 * 1_000_000


def wall_clock_us() -> int:
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True)
class _Balance:
    """What Valkey said last of the tenant's budget. `outage`: how many there had been by then."""

    month: str
    budget: int
    remaining: int
    outage: int


@dataclass(slots=True)
class _Kept:
    book: AdmissionBook
    touched: int


class LocalAdmissions:
    def __init__(
        self,
        live_routers: Callable[[], int],
        timing: Timing | None = None,
        clock_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        """`live_routers`: how many share the limits, this one included. `clock_us`: microseconds since 1970."""
        self._live_routers = live_routers
        self._timing = timing
        self._clock_us = clock_us
        self._kept: dict[TenantId, _Kept] = {}
        self._balances: dict[TenantId, _Balance] = {}
        self._months: dict[tuple[TenantId, str], str] = {}
        self._outage = 0

    def begin_outage(self) -> None:
        """What is noted from now on is of a balance that has what was spent locally before."""
        self._outage += 1
        now = self._clock_us()
        for tenant_id, kept in list(self._kept.items()):
            if now - kept.touched > _FORGET_US and kept.book.live == 0:
                del self._kept[tenant_id]

    def note(self, tenant_id: TenantId, month: str, admission: Admission) -> None:
        """Remember what Valkey knows of the budget."""
        budget = admission.state(MONTHLY_BUDGET)
        if budget is not None:
            self._balances[tenant_id] = _Balance(month, budget.limit, budget.remaining, self._outage)

    def admit(self, tenant_id: TenantId, limits: Limits, ask: Ask, month: str) -> Admission:
        """Raises DependencyDownError for what only the shared count could decide."""
        account, share = self._share(tenant_id, limits, month)
        admission = self._book(tenant_id).admit(share, ask, account, 0, self._clock_us())
        if admission.refused_by is not None and self._fits_the_whole(limits, ask, admission):
            raise _closed(admission.refused_by, "share_used")
        if admission.allowed:
            self._months[tenant_id, ask.lease_id] = account
        return replace(admission, local=True)

    def holds(self, tenant_id: TenantId, lease_id: str) -> bool:
        """The lease was taken here."""
        return (tenant_id, lease_id) in self._months

    def renew(self, tenant_id: TenantId, lease_id: str, used: Used) -> bool:
        return self._book(tenant_id).renew(lease_id, used, self._clock_us())

    def settle(self, tenant_id: TenantId, lease_id: str, used: Used) -> bool:
        account = self._months.pop((tenant_id, lease_id))
        return self._book(tenant_id).settle(lease_id, used, account, 0, self._clock_us())

    def state(self, tenant_id: TenantId, limits: Limits, month: str) -> tuple[LimitState, ...]:
        """Of the shares; a budget that is closed has nothing left."""
        try:
            account, share = self._share(tenant_id, limits, month)
        except DependencyDownError:
            account, share = month, replace(limits, monthly_budget_nano_usd=0)
        return self._book(tenant_id).state(share, account, 0, self._clock_us())

    def last_refusal(self, tenant_id: TenantId) -> Refusal | None:
        return self._book(tenant_id).last_refusal()

    def _book(self, tenant_id: TenantId) -> AdmissionBook:
        kept = self._kept.get(tenant_id)
        if kept is None:
            kept = self._kept[tenant_id] = _Kept(AdmissionBook(self._timing), 0)
        kept.touched = self._clock_us()
        return kept.book

    def _share(self, tenant_id: TenantId, limits: Limits, month: str) -> tuple[str, Limits]:
        """Under which account the local spend of the month is kept, and this router's part of the limits."""
        routers = max(1, self._live_routers())

        def part(limit: int) -> int:
            return limit if limit < 1 else max(1, limit // routers)

        share = Limits(
            part(limits.requests_per_minute),
            part(limits.requests_per_hour),
            None if limits.tokens_per_minute is None else part(limits.tokens_per_minute),
            None if limits.concurrent_requests is None else part(limits.concurrent_requests),
        )
        if limits.monthly_budget_nano_usd is None:
            return month, share
        balance = self._balances.get(tenant_id)
        if balance is None or balance.month != month:
            raise _closed(MONTHLY_BUDGET, "balance_unknown")
        left = balance.remaining + limits.monthly_budget_nano_usd - balance.budget if balance.remaining else 0
        if left * CLOSED_BELOW < limits.monthly_budget_nano_usd:
            raise _closed(MONTHLY_BUDGET, "balance_low")
        return f"{month}/{balance.outage}", replace(share, monthly_budget_nano_usd=left // routers)

    @staticmethod
    def _fits_the_whole(limits: Limits, ask: Ask, refused: Admission) -> bool:
        """Refused, though not by what it asks: the wait told would not be true of the whole limit."""
        budget, tokens = limits.monthly_budget_nano_usd, limits.tokens_per_minute
        too_large = (budget is not None and ask.cost_nano_usd > budget) or (tokens is not None and ask.tokens > tokens)
        none_allowed = min(limits.requests_per_minute, limits.requests_per_hour) < 1 or limits.concurrent_requests == 0
        if too_large or none_allowed:
            return False
        return refused.never or refused.refused_by == MONTHLY_BUDGET


def _closed(limit: str, reason: str) -> DependencyDownError:
    return DependencyDownError(
        f"the limit {limit} cannot be checked: Valkey is out of reach",
        details={"dependency": "valkey", "limit": limit, "reason": reason},
        retry_after_s=1,
    )
