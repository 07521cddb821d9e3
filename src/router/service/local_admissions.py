"""Admission by this process alone, while Valkey is out of reach: each router has its share of every limit.

Rates, tokens and concurrency: the limit divided by the routers that live, rounded down, at least one; and not more than
this router's share of what Valkey said last was left, until that has left its window. So a tenant at its limit stays at
it when Valkey fails for a moment. Budget: closed where the last known remainder is unknown or below a tenth of the
budget, else the share of that remainder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from router.domain.admission import (
    CONCURRENT_REQUESTS,
    MONTHLY_BUDGET,
    REQUESTS_PER_HOUR,
    REQUESTS_PER_MINUTE,
    TOKENS_PER_MINUTE,
    Admission,
    Ask,
    Limits,
    LimitState,
    Refusal,
    Timing,
    Used,
)
from router.domain.admission_book import AdmissionBook

CLOSED_BELOW = 10
"""A remainder of less than one part in so many of the budget is too little to share without being seen by all."""
_FORGET_US = 2 * 3_600 * 1_000_000


def wall_clock_us() -> int:
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What Valkey said last of the tenant, and when. `outage`: how many there had been by then."""

    admission: Admission
    month: str
    at: int
    outage: int


@dataclass(slots=True)
class _Kept:
    book: AdmissionBook
    touched: int
    outage: int = -1


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
        self._known: dict[TenantId, _Known] = {}
        self._accounts: dict[tuple[TenantId, str], str] = {}
        self._outage = 0

    def begin_outage(self) -> None:
        """What is noted from now on is of a balance that has what was spent locally before."""
        self._outage += 1
        now = self._clock_us()
        for tenant_id, kept in list(self._kept.items()):
            if now - kept.touched > _FORGET_US and kept.book.live == 0:
                del self._kept[tenant_id]

    def note(self, tenant_id: TenantId, month: str, admission: Admission) -> None:
        """Remember what Valkey said."""
        self._known[tenant_id] = _Known(admission, month, self._clock_us(), self._outage)

    def admit(self, tenant_id: TenantId, limits: Limits, ask: Ask, month: str) -> Admission:
        """Raises DependencyDownError for what only the shared count could decide."""
        account, share = self._share(tenant_id, limits, month)
        book = self._book(tenant_id)
        self._count_elsewhere(tenant_id, share)
        admission = book.admit(share, ask, account, 0, self._clock_us())
        if admission.refused_by is not None and self._fits_the_whole(limits, ask, admission):
            raise _closed(admission.refused_by, "share_used")
        if admission.allowed:
            self._accounts[tenant_id, ask.lease_id] = account
        return replace(admission, local=True)

    def holds(self, tenant_id: TenantId, lease_id: str) -> bool:
        """The lease was taken here."""
        return (tenant_id, lease_id) in self._accounts

    def renew(self, tenant_id: TenantId, lease_id: str, used: Used) -> bool:
        return self._book(tenant_id).renew(lease_id, used, self._clock_us())

    def settle(self, tenant_id: TenantId, lease_id: str, used: Used) -> bool:
        account = self._accounts.pop((tenant_id, lease_id))
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

    def _count_elsewhere(self, tenant_id: TenantId, share: Limits) -> None:
        """Once an outage: no more than the share of what was left may be used."""
        kept, known = self._kept[tenant_id], self._known.get(tenant_id)
        if kept.outage == self._outage or known is None:
            return
        kept.outage = self._outage
        routers = max(1, self._live_routers())
        shares = {
            REQUESTS_PER_MINUTE: share.requests_per_minute,
            REQUESTS_PER_HOUR: share.requests_per_hour,
            TOKENS_PER_MINUTE: share.tokens_per_minute or 0,
            CONCURRENT_REQUESTS: share.concurrent_requests or 0,
        }
        used = {
            state.name: shares[state.name] - state.remaining // routers
            for state in known.admission.states
            if state.name in shares
        }
        kept.book.count_elsewhere(used, known.at, self._clock_us())

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
        known = self._known.get(tenant_id)
        balance = known.admission.state(MONTHLY_BUDGET) if known is not None else None
        if known is None or balance is None or known.month != month:
            raise _closed(MONTHLY_BUDGET, "balance_unknown")
        left = balance.remaining + limits.monthly_budget_nano_usd - balance.limit if balance.remaining else 0
        if left * CLOSED_BELOW < limits.monthly_budget_nano_usd:
            raise _closed(MONTHLY_BUDGET, "balance_low")
        return f"{month}/{known.outage}", replace(share, monthly_budget_nano_usd=left // routers)

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
