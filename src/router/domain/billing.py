"""The span of days that a usage question is about, and what an invoice says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from router.domain.pricing import Price
from tenancy.usage import Counts, month_days

MAX_DAYS = 400
FINAL_AFTER = timedelta(days=1)
"""So long after a month's end whatever was still under way is in the ledger."""


@dataclass(frozen=True, slots=True)
class Span:
    """UTC days, both among those meant."""

    first: date
    last: date

    @property
    def end(self) -> date:
        """The first day that is not meant."""
        return self.last + timedelta(days=1)


class InvoiceState(StrEnum):
    PREVIEW = "preview"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """`price` is None where the version of the price list is not known any more."""

    model: str
    price_version: int
    price: Price | None
    counts: Counts


@dataclass(frozen=True, slots=True)
class Invoice:
    month: str
    state: InvoiceState
    lines: tuple[InvoiceLine, ...]

    @property
    def total(self) -> Counts:
        return sum((line.counts for line in self.lines), Counts())


def span_of(first: date | None, last: date | None, today: date) -> Span:
    """What is not said: up to today, from the first of the last day's month. Raises ValueError."""
    last = last or max(today, first or today)
    found = Span(first or last.replace(day=1), last)
    if found.first > found.last:
        raise ValueError("`from` is after `to`")
    if (found.last - found.first).days >= MAX_DAYS:
        raise ValueError(f"at most {MAX_DAYS} days at once")
    if found.last == date.max:
        raise ValueError("`to` is beyond what a calendar has")
    return found


def invoice_state(month: str, open_events: int, now: datetime) -> InvoiceState:
    """Final once the month has been over for a day and nothing of it is open. Raises ValueError for no month."""
    end = datetime.combine(month_days(month)[1], time(), UTC)
    return InvoiceState.FINAL if now >= end + FINAL_AFTER and open_events == 0 else InvoiceState.PREVIEW
