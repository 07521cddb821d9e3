"""What a tenant's chats were like, hour by hour and day by day: how many, how fast, what was refused and why.

For looking at, not for billing: the ledger is the bill. What a router has not written yet when it is killed, at most
ten seconds of it, is missing here and in no invoice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate

from contracts.tenant import TenantId

BUCKETS_PER_DOUBLING = 4
BUCKETS = 72
"""The last one begins at 2^17.75 ms, more than three minutes."""
MAX_REASONS = 50
"""Told apart in one row; the rest are `other`. Reasons of rules are the tenant's own words."""
MAX_REASON_CHARS = 100


class Step(StrEnum):
    HOUR = "hour"
    DAY = "day"

    def of(self, at: datetime) -> datetime:
        """The beginning of the hour or the UTC day of `at`, which is in UTC."""
        hour = at.replace(minute=0, second=0, microsecond=0)
        return hour if self is Step.HOUR else hour.replace(hour=0)

    @property
    def length(self) -> timedelta:
        return timedelta(hours=1) if self is Step.HOUR else timedelta(days=1)


class Histogram:
    """Milliseconds in buckets that grow by 2^(1/4), so that histograms of routers and of hours can be added: what is
    read off is right to within a tenth."""

    __slots__ = ("counts",)

    def __init__(self, counts: Iterable[int] = ()) -> None:
        self.counts = list(counts)

    def add(self, ms: float) -> None:
        at = min(BUCKETS - 1, max(0, math.ceil(BUCKETS_PER_DOUBLING * math.log2(ms)))) if ms > 1 else 0
        if at >= len(self.counts):
            self.counts.extend([0] * (at + 1 - len(self.counts)))
        self.counts[at] += 1

    def merge(self, other: Histogram) -> None:
        if len(other.counts) > len(self.counts):
            self.counts.extend([0] * (len(other.counts) - len(self.counts)))
        for at, count in enumerate(other.counts):
            self.counts[at] += count

    def quantile(self, share: float) -> float | None:
        """Milliseconds below which so large a share lies: the middle of its bucket. None of nothing."""
        total = sum(self.counts)
        if not total:
            return None
        until = accumulate(self.counts)
        at = next(at for at, seen in enumerate(until) if seen >= max(1, share * total))
        return float(2.0 ** ((at - 0.5) / BUCKETS_PER_DOUBLING))


@dataclass(slots=True)
class Numbers:
    """Sums. `refusals` by reason, `throttled` by limit, `errors` by code; `cached_tokens` are among the prompt's."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_nano_usd: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)

    def merge(self, other: Numbers) -> None:
        self.requests += other.requests
        self.prompt_tokens += other.prompt_tokens
        self.cached_tokens += other.cached_tokens
        self.completion_tokens += other.completion_tokens
        self.cost_nano_usd += other.cost_nano_usd
        self.refusals += other.refusals
        self.throttled += other.throttled
        self.errors += other.errors
        self.latency.merge(other.latency)
        self.first_token.merge(other.first_token)


def noted(reasons: Counter[str], reason: str) -> None:
    """Counts `reason`, as `other` where too many are told apart already."""
    known = reason[:MAX_REASON_CHARS]
    reasons[known if known in reasons or len(reasons) < MAX_REASONS else "other"] += 1


@dataclass(frozen=True, slots=True)
class Sample:
    """What is added to one row. `at` is the beginning of its hour or day; `born`, when the tenant was made."""

    tenant_id: TenantId
    born: datetime
    step: Step
    at: datetime
    route: str
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class MetricsRow:
    """`group` has the values of what was asked for, in its order."""

    group: Sequence[str]
    numbers: Numbers
