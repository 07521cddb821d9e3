"""What a tenant used, and what it owes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from contracts.errors import InvalidRequestError
from contracts.tenant import TenantId
from router.domain.billing import Invoice, InvoiceLine, Span, invoice_state, span_of
from router.service.prices import Prices
from tenancy.usage import Counts, GroupBy, UsageRow
from tenancy.usage_ports import Ledger

MAX_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Report:
    span: Span
    group_by: tuple[GroupBy, ...]
    rows: Sequence[UsageRow]

    @property
    def total(self) -> Counts:
        return sum((row.counts for row in self.rows), Counts())


class UsageService:
    """`now` in UTC."""

    def __init__(self, ledger: Ledger, prices: Prices, *, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._prices = prices
        self._now = now

    async def report(
        self, tenant_id: TenantId, first: date | None, last: date | None, group_by: tuple[GroupBy, ...]
    ) -> Report:
        """Raises InvalidRequestError for a span that cannot be asked for, and for more than `MAX_ROWS` rows."""
        try:
            span = span_of(first, last, self._now().date())
        except ValueError as error:
            raise InvalidRequestError(str(error)) from error
        rows = await self._ledger.totals(tenant_id, span.first, span.end, group_by, limit=MAX_ROWS + 1)
        if len(rows) > MAX_ROWS:
            raise InvalidRequestError(f"the answer has more than {MAX_ROWS} rows: ask for fewer days, or fewer groups")
        return Report(span, group_by, rows)

    async def invoice(self, tenant_id: TenantId, month: str | None) -> Invoice:
        """Of a month as `2026-01`; of the current one where none is said. Raises InvalidRequestError."""
        month = month or f"{self._now():%Y-%m}"
        try:
            found = await self._ledger.month(tenant_id, month)
        except ValueError as error:
            raise InvalidRequestError(str(error)) from error
        lines = [
            InvoiceLine(
                line.model,
                line.price_version,
                await self._prices.price_of(line.model, line.price_version),
                line.counts,
            )
            for line in found.lines
        ]
        return Invoice(month, invoice_state(month, found.open, self._now()), tuple(lines))
