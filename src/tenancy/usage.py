"""What a tenant used: the ledger's events, their sums, and what becomes of an event that is written again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum

from contracts.tenant import TenantId

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


class Outcome(StrEnum):
    ANSWERED = "answered"
    REFUSED = "refused"
    ERROR = "error"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"
    CRASHED = "crashed"
    """Said by the ledger alone, of an event that nobody renewed any more."""


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One request: settled if it has an outcome, else open, with what it has used so far.

    `event_id` is its lease's. `cached_tokens` are among the `prompt_tokens`. It belongs to the UTC day and month of
    `started_at`, which stays the same in all that is written of it. `tenant_born` tells the tenant from an earlier one
    of the same id (`Revision.born`); None: whichever has the id.
    """

    tenant_id: TenantId
    event_id: str
    request_id: str
    user_id: str
    session_id: str
    route: str
    model: str
    pool: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    price_version: int
    cost_nano_usd: int
    outcome: Outcome | None
    started_at: datetime
    tenant_born: datetime | None = None

    @property
    def key(self) -> tuple[TenantId, str]:
        return self.tenant_id, self.event_id

    @property
    def final(self) -> bool:
        """Nothing that is written later changes it."""
        return self.outcome is not None and self.outcome is not Outcome.CRASHED

    @property
    def day(self) -> date:
        return self.started_at.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An event as the ledger has it. The times are the database's."""

    event: UsageEvent
    renewed_at: datetime
    settled_at: datetime | None


class GroupBy(StrEnum):
    DAY = "day"
    ROUTE = "route"
    MODEL = "model"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over settled events."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_nano_usd: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost_nano_usd + other.cost_nano_usd,
        )


@dataclass(frozen=True, slots=True)
class UsageRow:
    """`group` has a value for each name that was asked for, in that order; a day as `2026-01-31`."""

    group: tuple[str, ...]
    counts: Counts


@dataclass(frozen=True, slots=True)
class PricedUsage:
    """What was used of a model under one version of the price list."""

    model: str
    price_version: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class MonthUsage:
    """`open`: how many events that started in the month are not settled yet."""

    lines: tuple[PricedUsage, ...]
    open: int


def written_over(old: UsageEvent, new: UsageEvent) -> UsageEvent:
    """What the ledger holds after `new` was written where `old` was. The SQL of `record_usage` does the same.

    A final event stays. One that is open or crashed becomes final with whatever settles it. A renewal that comes late,
    with less than is known, changes nothing; one that comes after the event was closed as crashed corrects its counts.
    """
    if old.final:
        return old
    if new.final:
        return new
    if new.prompt_tokens < old.prompt_tokens or new.completion_tokens < old.completion_tokens:
        return old
    return replace(new, outcome=old.outcome)


def coalesced(events: Iterable[UsageEvent]) -> list[UsageEvent]:
    """One event for each key, in the order of the keys: what writing them one after the other comes to.

    Raises ValueError for an event that its writer calls crashed.
    """
    last: dict[tuple[TenantId, str], UsageEvent] = {}
    for event in events:
        if event.outcome is Outcome.CRASHED:
            raise ValueError("an event is closed as crashed by the ledger alone")
        old = last.get(event.key)
        last[event.key] = event if old is None else written_over(old, event)
    return [last[key] for key in sorted(last)]


def counts_of(event: UsageEvent) -> Counts:
    return Counts(1, event.prompt_tokens, event.cached_tokens, event.completion_tokens, event.cost_nano_usd)


def month_days(month: str) -> tuple[date, date]:
    """The first day of `2026-01`, and the first of the month after. Raises ValueError."""
    found = _MONTH.fullmatch(month)
    if found is None:
        raise ValueError("a month is written as 2026-01")
    first = date(int(found[1]), int(found[2]), 1)
    return first, date(first.year + first.month // 12, first.month % 12 + 1, 1)
