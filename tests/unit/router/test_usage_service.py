"""Usage and invoices from the ledger's sums, and requests whose router died."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.errors import InvalidRequestError
from contracts.tenant import TenantId
from router.adapters.memory_prices import MemoryPriceStore
from router.domain.billing import InvoiceState
from router.domain.pricing import Price
from router.service import usage as usage_module
from router.service.orphans import ORPHAN_AFTER_S, Orphans
from router.service.prices import Prices
from router.service.usage import UsageService
from support.telling import told_here
from support.tenants import ALICE
from support.usage import MAY_4, an_event, so_far
from tenancy.memory_ledger import MemoryLedger
from tenancy.usage import GroupBy

T1 = TenantId("t1")
NOW = datetime(2026, 6, 5, tzinfo=UTC)
CHEAP, DEAR = Price(100, 100, 400), Price(1_000, 1_000, 4_000)


def service(ledger: MemoryLedger, prices: Prices | None = None) -> UsageService:
    return UsageService(ledger, prices or Prices(MemoryPriceStore(), {"*": CHEAP}), now=lambda: NOW)


async def test_an_answer_has_so_many_rows_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_module, "MAX_ROWS", 3)
    ledger = MemoryLedger()
    await ledger.write([an_event(T1, user_id=f"u{number}") for number in range(3)])
    by_user = (date(2026, 5, 1), date(2026, 5, 31), (GroupBy.USER,))
    assert (await service(ledger).report(T1, *by_user)).total.requests == 3
    await ledger.write([an_event(T1, user_id="one more")])
    with pytest.raises(InvalidRequestError, match="more than 3 rows"):
        await service(ledger).report(T1, *by_user)


async def test_an_amount_is_tokens_times_unit_price_to_the_last_nano_usd() -> None:
    ledger, prices = MemoryLedger(), Prices(MemoryPriceStore(), {"*": CHEAP})
    await prices.get()
    await prices.add({"*": CHEAP, "m1": DEAR}, by=ALICE)
    for version, price in ((1, CHEAP), (2, DEAR)):
        events = [(7, 3, 5), (1_000_003, 17, 999_999), (1, 1, 0)]
        await ledger.write(
            [
                an_event(
                    T1,
                    prompt_tokens=prompt,
                    cached_tokens=cached,
                    completion_tokens=completion,
                    price_version=version,
                    cost_nano_usd=price.cost(prompt, completion, cached),
                )
                for prompt, cached, completion in events
            ]
        )
    invoice = await service(ledger, prices).invoice(T1, "2026-05")
    assert invoice.state is InvoiceState.FINAL
    assert [(line.price_version, line.price) for line in invoice.lines] == [(1, CHEAP), (2, DEAR)]
    for line in invoice.lines:
        assert line.price is not None
        counts = line.counts
        assert counts.cost_nano_usd == line.price.cost(
            counts.prompt_tokens, counts.completion_tokens, counts.cached_tokens
        )
    assert invoice.total.cost_nano_usd == sum(line.counts.cost_nano_usd for line in invoice.lines)


async def test_a_month_with_something_open_is_a_preview() -> None:
    ledger = MemoryLedger()
    await ledger.write([an_event(T1), so_far(T1, "e1", 1)])
    assert (await service(ledger).invoice(T1, "2026-05")).state is InvoiceState.PREVIEW


async def test_requests_that_nobody_renews_are_closed_after_half_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = MAY_4
    ledger = MemoryLedger(now=lambda: now)
    await ledger.write([so_far(T1, "dead", 3), so_far(T1, "live", 3)])
    with caplog.at_level(logging.INFO):
        now += timedelta(seconds=ORPHAN_AFTER_S)
        await Orphans(ledger).close()
        assert told_here(caplog, "atrium.ledger") == []
        await ledger.write([so_far(T1, "live", 9)])
        now += timedelta(seconds=1)
        await Orphans(ledger).close()
    rows = await ledger.rows(T1, after="", limit=9)
    assert [(row.event.event_id, row.event.outcome) for row in rows] == [("dead", "crashed"), ("live", None)]
    (record,) = told_here(caplog, "atrium.ledger")
    assert record.__dict__["fields"] == {"events": 1}
