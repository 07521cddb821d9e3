"""Prices: whole nano-USD, no rounding anywhere between the tokens and the invoice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import DependencyDownError
from router.adapters.memory_prices import MemoryPriceStore
from router.api.csv_answer import csv_answer, harmless
from router.domain.billing import InvoiceState, Span, invoice_state, span_of
from router.domain.pricing import Price, PriceList, nano_per_token, price_in_usd, usd, usd_per_mtok, usd_text
from router.service.prices import Prices
from router.settings import Settings
from servicekit.tokens import generate_signing_key
from support.tenants import ALICE
from tenancy.usage import month_days

NOW = datetime(2026, 5, 4, tzinfo=UTC)
TODAY = NOW.date()
CHEAP, DEAR = Price(100, 50, 400), Price(1_000, 1_000, 4_000)


def test_cached_tokens_are_among_the_prompt_and_cost_their_own_price() -> None:
    assert CHEAP.cost(10, 5, 4) == 6 * 100 + 4 * 50 + 5 * 400
    assert CHEAP.cost(10, 5) == 3_000
    assert CHEAP.worst(10, 5) == 3_000
    assert Price(100, 300, 1).worst(10, 5) == 3_005


@given(tokens=st.tuples(*[st.integers(0, 10**6)] * 3), price=st.builds(Price, *[st.integers(0, 10**6)] * 3))
def test_no_request_costs_more_than_its_worst_case(tokens: tuple[int, int, int], price: Price) -> None:
    prompt, cached, completion = tokens
    assert price.cost(prompt, completion, min(cached, prompt)) <= price.worst(prompt, completion)


def test_a_model_has_its_own_price_or_everyones() -> None:
    prices = PriceList(3, {"*": CHEAP, "big": DEAR}, NOW, "alice")
    assert (prices.of("big"), prices.of("small"), prices.of("*"), prices.of("BIG")) == (DEAR, CHEAP, CHEAP, CHEAP)


@pytest.mark.parametrize(
    ("said", "nano"), [("0", 0), ("0.1", 100), ("0.001", 1), ("2.50", 2_500), ("1000000", 1_000_000_000), ("1e-3", 1)]
)
def test_usd_per_million_tokens_are_nano_usd_per_token(said: str, nano: int) -> None:
    assert nano_per_token(Decimal(said)) == nano
    assert Decimal(str(usd_per_mtok(nano))) == Decimal(said)


@pytest.mark.parametrize("said", ["-0.1", "0.0005", "1000000.001", "NaN", "Infinity"])
def test_what_is_no_price_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="price"):
        nano_per_token(Decimal(said))


def test_money_as_people_read_it() -> None:
    assert [usd_text(nano) for nano in (0, 1, 1_234, 10**9, 12 * 10**9 + 5)] == [
        "0.000000000", "0.000000001", "0.000001234", "1.000000000", "12.000000005",
    ]  # fmt: skip
    assert usd(1_500_000_000) == 1.5


def first(said: Settings) -> Price:
    return price_in_usd(
        said.price_prompt_usd_per_mtok, said.price_cached_usd_per_mtok, said.price_completion_usd_per_mtok
    )


def test_the_settings_say_the_first_price() -> None:
    base = dict.fromkeys(("orchestrator_url", "rag_service_url"), "x")
    base |= {"database_url": "postgresql://x", "redis_url": "redis://x", "service_signing_key": generate_signing_key()}
    assert first(Settings(**base)) == Price(100, 100, 400)
    said = {"price_prompt_usd_per_mtok": "1", "price_cached_usd_per_mtok": "0.25", "price_completion_usd_per_mtok": 3.5}
    assert first(Settings(**base, **said)) == Price(1_000, 250, 3_500)
    for wrong in ({"price_prompt_usd_per_mtok": -1}, {"price_cached_usd_per_mtok": "0.00001"}):
        with pytest.raises(ValueError, match="price"):
            Settings(**base, **wrong)


# --- the live list ------------------------------------------------------------------------------------------------


async def test_the_first_list_is_made_once_and_of_the_settings() -> None:
    store = MemoryPriceStore()
    one, other = Prices(store, {"*": CHEAP}), Prices(store, {"*": DEAR})
    assert (one.current.version, one.current.of("m")) == (0, CHEAP)
    assert ((await one.get()).version, one.current.of("m")) == (1, CHEAP)
    assert ((await other.get()).version, other.current.of("m")) == (1, CHEAP)


async def test_a_new_version_is_in_force_here_at_once_and_elsewhere_after_a_refresh() -> None:
    store = MemoryPriceStore()
    here, there = Prices(store, {"*": CHEAP}), Prices(store, {"*": CHEAP})
    await here.get()
    await there.get()
    await here.add({"*": DEAR}, by=ALICE)
    assert (here.current.version, there.current.version) == (2, 1)
    await there.refresh()
    assert there.current.of("m") == DEAR
    assert await there.price_of("m", 1) == CHEAP
    assert await there.price_of("m", 2) == DEAR
    assert await there.price_of("m", 9) is None


async def test_while_the_store_is_out_of_reach_the_last_list_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryPriceStore()
    prices = Prices(store, {"*": CHEAP})

    async def down() -> None:
        raise DependencyDownError("down")

    with monkeypatch.context() as patched:
        patched.setattr(store, "latest", down)
        with pytest.raises(DependencyDownError):
            await prices.get()
    await prices.get()
    monkeypatch.setattr(store, "latest", down)
    with pytest.raises(DependencyDownError):
        await prices.refresh()
    assert (await prices.get()).version == 1


# --- spans and months ---------------------------------------------------------------------------------------------


def test_both_ends_of_a_span_are_meant() -> None:
    assert span_of(None, None, TODAY) == Span(date(2026, 5, 1), TODAY)
    assert span_of(date(2026, 4, 30), None, TODAY) == Span(date(2026, 4, 30), TODAY)
    assert span_of(None, date(2026, 2, 3), TODAY) == Span(date(2026, 2, 1), date(2026, 2, 3))
    assert span_of(date(2027, 1, 1), None, TODAY) == Span(date(2027, 1, 1), date(2027, 1, 1))
    assert span_of(TODAY, TODAY, TODAY).end == TODAY + timedelta(days=1)
    assert span_of(TODAY - timedelta(days=399), TODAY, TODAY).first == TODAY - timedelta(days=399)


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (TODAY, TODAY - timedelta(days=1), "after"),
        (TODAY - timedelta(days=400), TODAY, "400"),
        (date(9999, 12, 1), date(9999, 12, 31), "calendar"),
    ],
)
def test_a_span_that_cannot_be_asked_for(first: date, last: date, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        span_of(first, last, TODAY)


def test_a_month_is_final_a_day_after_its_end_unless_something_is_open() -> None:
    end = datetime(2027, 1, 1, tzinfo=UTC)
    day = timedelta(days=1)
    moment = timedelta(microseconds=1)
    assert invoice_state("2026-12", 0, end) is InvoiceState.PREVIEW
    assert invoice_state("2026-12", 0, end + day - moment) is InvoiceState.PREVIEW
    assert invoice_state("2026-12", 0, end + day) is InvoiceState.FINAL
    assert invoice_state("2026-12", 1, end + day) is InvoiceState.PREVIEW


def test_months() -> None:
    assert month_days("2026-12") == (date(2026, 12, 1), date(2027, 1, 1))
    assert month_days("2024-02") == (date(2024, 2, 1), date(2024, 3, 1))
    for wrong in ("2026-13", "2026-1", "2026-00", "0000-01", "9999-12", "2026-01-01", " 2026-01", "2026-01\n", ""):
        with pytest.raises(ValueError, match=r"month|year"):
            month_days(wrong)


# --- CSV ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_spreadsheet_runs_no_name_as_a_formula(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    assert harmless(f"a{cell}") == f"a{cell}"


def test_csv_quotes_what_would_break_a_row() -> None:
    answer = csv_answer(["user", "requests"], [["a,b", 1], ['"=x', 2], ["=1", -3], ["two\nlines", 4]], "usage-t1.csv")
    assert answer.body == b'user,requests\r\n"a,b",1\r\n"""=x",2\r\n\'=1,-3\r\n"two\nlines",4\r\n'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="usage-t1.csv"'
