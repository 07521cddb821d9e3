"""What is said of many values holds: their number and sum exactly, their percentiles to within a tenth."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observability.distribution import Distribution
from observability.pace import Pace

VALUES = st.lists(st.floats(min_value=1e-4, max_value=500), min_size=1, max_size=300)


def of(values: list[float]) -> Distribution:
    found = Distribution()
    for value in values:
        found.add(value)
    return found


@settings(deadline=None)
@given(VALUES)
def test_number_and_sum_are_exact_and_each_value_stands_near_one_that_is_told(values: list[float]) -> None:
    found = of(values)
    assert found.count == len(values)
    assert found.total == pytest.approx(sum(values))
    told = [value for value, number in found for _ in range(number)]
    assert all(abs(a - b) <= 0.1001 * b for a, b in zip(told, sorted(values), strict=True))


@settings(deadline=None)
@given(VALUES, VALUES)
def test_two_merged_are_as_one(first: list[float], second: list[float]) -> None:
    merged = of(first)
    merged.merge(of(second))
    assert [number for _, number in merged] == [number for _, number in of(first + second)]
    assert merged.total == pytest.approx(sum(first + second))


def test_what_is_outside_of_the_edges_is_counted_too() -> None:
    assert [number for _, number in of([0.0, -1.0, 1e9, 1e10])] == [2, 2]


def test_a_stream_of_n_pieces_has_n_less_one_gaps() -> None:
    pace = Pace()
    assert [pace.tick() for _ in range(5)] == [True, False, False, False, False]
    assert pace.gaps.count == 4
    assert not Pace().gaps
