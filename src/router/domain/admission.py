"""Admission: what a request asks of its tenant's limits, and what is decided.

Money is an integer number of nano-USD (1e-9 USD), time inside the rule an integer number of microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

LEASE_S = 15.0
"""A lease that is not renewed for so long has ended: its owner is dead or cut off."""
RENEW_S = 2.0
"""How often the owner of a lease renews it, with the usage so far."""

REQUESTS_PER_MINUTE = "requests_per_minute"
REQUESTS_PER_HOUR = "requests_per_hour"
TOKENS_PER_MINUTE = "tokens_per_minute"
CONCURRENT_REQUESTS = "concurrent_requests"
MONTHLY_BUDGET = "monthly_budget_usd"
LIMIT_NAMES = (REQUESTS_PER_MINUTE, REQUESTS_PER_HOUR, TOKENS_PER_MINUTE, CONCURRENT_REQUESTS, MONTHLY_BUDGET)
"""In the order in which a reply lists them, and in which a tie between waits is told."""

_BUCKETS = 60
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Timing:
    """Lengths in seconds. Only tests have others than the defaults."""

    lease_s: float = LEASE_S
    minute_s: float = 60.0
    hour_s: float = 3_600.0
    remember_s: float = 600.0
    """What an ended lease was charged is known for so long at least, for whoever settles it again or late."""

    def __post_init__(self) -> None:
        if min(self.minute_s, self.hour_s) < 0.06 or min(self.lease_s, self.remember_s) <= 0:
            raise ValueError("a window has sixty buckets of a millisecond or more, and a lease some length")

    @property
    def lease_us(self) -> int:
        return round(self.lease_s * _MICRO)

    @property
    def minute_us(self) -> int:
        return round(self.minute_s * _MICRO)

    @property
    def hour_us(self) -> int:
        return round(self.hour_s * _MICRO)

    @property
    def remember_us(self) -> int:
        return round(self.remember_s * _MICRO)


def bucket_us(length_us: int) -> int:
    """A window slides in steps of a sixtieth: counts are exact, a slot is given back at most one step late."""
    return length_us // _BUCKETS


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit of this kind."""

    requests_per_minute: int
    requests_per_hour: int
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    monthly_budget_nano_usd: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """The worst case of one request. `deadline_s`: seconds from now until it is over and settled, come what may."""

    lease_id: str
    tokens: int
    cost_nano_usd: int
    deadline_s: float

    @property
    def deadline_us(self) -> int:
        return max(1, round(self.deadline_s * _MICRO))


@dataclass(frozen=True, slots=True)
class Used:
    """What a request has used so far, or in all."""

    tokens: int = 0
    cost_nano_usd: int = 0


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit now. The budget is in nano-USD.

    `reset_s`: until the oldest of what is counted leaves: the oldest request or settled tokens leave their window, the
    lease with the earliest deadline ends, the month ends; 0 when nothing is counted.
    """

    name: str
    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Admission:
    """`needs_spend`: nothing was decided; ask again with what the ledger says was spent in the month.

    `refused_by` is the limit with the longest wait, `retry_after_s` until the request will fit every limit, where
    nothing else is admitted meanwhile; infinite when it never can (`never`). `local`: decided by this process alone.
    """

    states: tuple[LimitState, ...]
    refused_by: str | None = None
    retry_after_s: float = 0.0
    needs_spend: bool = False
    local: bool = False

    @property
    def allowed(self) -> bool:
        return self.refused_by is None and not self.needs_spend

    @property
    def never(self) -> bool:
        """The request asks for more than the whole limit."""
        return math.isinf(self.retry_after_s)

    def state(self, name: str) -> LimitState | None:
        return next((state for state in self.states if state.name == name), None)

    def headers(self) -> Mapping[str, str]:
        """`RateLimit-*` for the request window with the least left (draft-ietf-httpapi-ratelimit-headers)."""
        windows = [state for state in self.states if state.name in {REQUESTS_PER_MINUTE, REQUESTS_PER_HOUR}]
        if not windows:
            return {}
        tightest = min(windows, key=lambda state: (state.remaining, state.name == REQUESTS_PER_HOUR))
        return {
            "ratelimit-limit": str(tightest.limit),
            "ratelimit-remaining": str(tightest.remaining),
            "ratelimit-reset": str(math.ceil(tightest.reset_s)),
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """The last request of a tenant that was refused: `at` in seconds since 1970, what it asked, what it was told."""

    limit: str
    at: float
    tokens: int
    cost_nano_usd: int
    retry_after_s: float


def month_of(moment: datetime) -> str:
    """`YYYY-MM`, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m")


def month_end_us(month: str) -> int:
    """The moment at which the next month begins, in UTC: microseconds since 1970."""
    year, number = int(month[:4]), int(month[5:7])
    after = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return int(after.timestamp()) * _MICRO


def seconds(microseconds: int) -> float:
    """A wait as told: -1, never, is infinite."""
    return math.inf if microseconds < 0 else microseconds / _MICRO
