"""Thousands of places to be replaced: made one as they come, or all at the end, they are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard import replacing
from guard.replacing import Replacements

TEXT = "".join(map(chr, range(0x4E00, 0x4E00 + 60)))
NOTED = st.lists(
    st.tuples(st.integers(0, 59), st.integers(1, 12), st.sampled_from(["[EMAIL]", "[PHONE]", "[REDACTED]"])),
    max_size=40,
).map(lambda found: [(start, min(start + length, 60), placeholder) for start, length, placeholder in found])


def left(noted: list[tuple[int, int, str]], *, many: int, limit: int = 60) -> tuple[str, int]:
    spans = Replacements()
    spans._most = many
    for one in noted:
        spans.note(*one)
        if many < replacing._MANY:
            spans._most = many
    return spans.leaving(TEXT, 0, 0, limit)


@given(NOTED, st.integers(1, 20), st.integers(0, 60))
def test_it_does_not_matter_when_places_that_overlap_are_made_one(
    noted: list[tuple[int, int, str]], many: int, limit: int
) -> None:
    assert left(noted, many=many, limit=limit) == left(noted, many=replacing._MANY, limit=limit)


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_hundred_thousand_places_few_are_kept(order: int) -> None:
    spans = Replacements()
    for length in range(1, 101)[::order]:
        for start in range(0, 1_000, length):
            spans.note(start, start + length, "[REDACTED]")
    assert len(spans) <= 2 * replacing._MANY
