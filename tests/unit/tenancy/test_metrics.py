"""Histograms that can be added, and reasons that are bounded."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenancy.metrics import MAX_REASONS, Histogram, Step, noted

_MS = st.floats(min_value=0.0, max_value=200_000.0)


def histogram_of(values: list[float]) -> Histogram:
    made = Histogram()
    for value in values:
        made.add(value)
    return made


@given(st.lists(_MS, max_size=30), st.lists(_MS, max_size=30))
def test_two_histograms_added_are_the_histogram_of_all(some: list[float], others: list[float]) -> None:
    merged = histogram_of(some)
    merged.merge(histogram_of(others))

    assert merged.counts == histogram_of(some + others).counts


@given(st.lists(st.floats(min_value=2.0, max_value=200_000.0), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_a_quantile_is_right_to_within_a_tenth(values: list[float], share: float) -> None:
    ranked = sorted(values)
    at = max(0, -(-int(share * len(values) * 1_000_000) // 1_000_000) - 1)
    found = histogram_of(values).quantile(share)

    assert found is not None
    near = [ranked[min(len(ranked) - 1, max(0, at + step))] for step in (-1, 0, 1)]
    assert any(abs(found / value - 1) <= 0.1 for value in near)


def test_of_nothing_there_is_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None


def test_what_is_longer_than_the_last_bucket_is_in_it() -> None:
    assert histogram_of([1e9]).quantile(1.0) == pytest.approx(200_000, rel=0.2)


def test_reasons_beyond_the_bound_are_counted_together() -> None:
    reasons: Counter[str] = Counter()
    for number in range(MAX_REASONS + 5):
        noted(reasons, f"reason {number}")
    noted(reasons, "reason 0")

    assert len(reasons) == MAX_REASONS + 1
    assert (reasons["reason 0"], reasons["other"]) == (2, 5)


def test_an_hour_and_a_day_begin_in_utc() -> None:
    at = datetime(2026, 5, 4, 12, 34, 56, tzinfo=UTC)

    assert Step.HOUR.of(at) == datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert Step.DAY.of(at) == datetime(2026, 5, 4, tzinfo=UTC)
